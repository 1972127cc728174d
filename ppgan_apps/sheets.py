"""Labelled sheets: rows and columns of pictures with a name beside each row and above each column."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from . import images

SMALLEST_CELL, LARGEST_CELL = 128, 256                         # sides that pictures are given where nothing is asked
PADDING = 4
TEXT_HEIGHT = 22
INK = (40, 40, 40)


def cell_size(picture: np.ndarray, wanted: int | None = None) -> int:
    """The side of a picture in a sheet: `wanted`, else its own within 128 to 256 pixels."""
    return wanted or min(max(picture.shape[1], SMALLEST_CELL), LARGEST_CELL)


def labelled(pictures: Sequence[Sequence[np.ndarray | None]], rows: Sequence[str] = (), columns: Sequence[str] = (),
             cell: int | None = None) -> np.ndarray:
    """Square pictures, row by row, uint8 RGB; None leaves a place empty. The same picture for the same input.

    Args:
        rows, columns: a name for each, or none at all.
        cell: side of each picture in the sheet; see `cell_size`.
    """
    first = next(picture for row in pictures for picture in row if picture is not None)
    side = cell_size(first, cell)
    blank = np.full((side, side, 3), 255, np.uint8)
    cells = [blank if picture is None else images.resize(picture, (side, side)) for row in pictures for picture in row]
    sheet = images.grid(cells, len(pictures[0]), PADDING)
    step = side + PADDING
    if columns:
        strip = np.full((TEXT_HEIGHT, sheet.shape[1], 3), 255, np.uint8)
        for index, name in enumerate(columns):
            _write(strip, name, PADDING + index * step + side // 2)
        sheet = np.concatenate([strip, sheet])
    if rows:
        strip = np.full((sheet.shape[0], max(_width(name) for name in rows) + 2 * PADDING, 3), 255, np.uint8)
        top = PADDING + (TEXT_HEIGHT if columns else 0)
        for index, name in enumerate(rows):
            middle = top + index * step + side // 2
            _write(strip[middle - TEXT_HEIGHT // 2:middle + TEXT_HEIGHT // 2], name, strip.shape[1] // 2)
        sheet = np.concatenate([strip, sheet], 1)
    return sheet


def _width(text: str) -> int:
    import cv2
    return int(cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.45, 1)[0][0])


def _write(strip: np.ndarray, text: str, centre: int) -> None:
    """Writes `text` into a strip [TEXT_HEIGHT, W, 3], its middle at column `centre`."""
    import cv2
    canvas = np.ascontiguousarray(strip)
    place = (max(0, centre - _width(text) // 2), TEXT_HEIGHT - 7)
    strip[:] = cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, INK, 1, cv2.LINE_AA)
