"""Networks from picture to picture in ONNX files, as AnimeGANv3's authors and many others publish theirs.

Run by ONNX Runtime (the extra `onnx`). What a file leaves open is found out when it is opened: whether channels come
first or last, and which sizes it takes.
"""
from __future__ import annotations

from pathlib import Path

import numpy as np

from ..engines import ONNX, no_text, one_line, onnx_session, parsed
from ..errors import WeightsError

TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
CHANNELS_FIRST, CHANNELS_LAST = (0, 1, 2, 3), (0, 2, 3, 1)     # the axes in the order that [N, C, H, W] has them
# What the sides may have to be multiples of, when a file does not say: AnimeGANv3 is fed multiples of 8, AnimeGANv2 of
# 32. Less than 8 is never tried, since what a network takes and what it was trained to take are two things.
MULTIPLES = (8, 16, 32, 64)
TRIAL_SIDE = 128                                               # about; the least size tried, so that nothing vanishes


class PictureNetwork:
    """A callable: float32 [N, 3, H, W] in [-1, 1] in and out, arrays both, one picture after another.

    size: (height, width) where the file fixes them, else None; multiple_of: what the sides must be multiples of;
    about: the file's metadata, of which "multiple_of" and "licence" are used. Raises WeightsError: no
    ONNX file, its external data is missing, several inputs, no three channels, other numbers than floats, a size that
    it cannot take or a result that is no picture of the size it was given. MissingExtra without onnxruntime.
    """

    engine = ONNX
    takes_arrays = True                                        # a Paddle network takes tensors

    def __init__(self, path: str | Path, device: str = "cpu"):
        self.path = Path(path)
        self._session = onnx_session(self.path, device)
        try:
            self.about = parsed(self._session.get_modelmeta().custom_metadata_map, self.path)
            self._name, self._type, shape = self._input()
        except UnicodeDecodeError as error:
            raise no_text(self.path, error) from error
        self.size, orders = self._read_shape(shape)
        if self.size:
            self._order, self.multiple_of = orders[0], 1
        else:
            self._order, self.multiple_of = self._try_sizes(orders)

    @property
    def licence(self) -> str | None:
        return self.about.get("licence") or self.about.get("license")

    def __call__(self, array: np.ndarray) -> np.ndarray:
        return np.concatenate([self._run(array[number:number + 1], self._order) for number in range(len(array))])

    def _input(self) -> tuple[str, type, list]:
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            raise WeightsError(f"{self.path} takes {len(inputs)} inputs ({', '.join(given.name for given in inputs)}): "
                               "give a network from one picture to one picture.")
        if inputs[0].type not in TYPES:
            raise WeightsError(f"{self.path} takes {inputs[0].type}: give a network that takes float pictures in "
                               "[-1, 1].")
        return inputs[0].name, TYPES[inputs[0].type], list(inputs[0].shape)

    def _read_shape(self, shape: list) -> tuple[tuple[int, int] | None, list[tuple]]:
        """The fixed (height, width) or None, and the orders of axes that the shape allows; a name or None is free."""
        if len(shape) != 4:
            raise self._no_picture(shape)
        known = [side if isinstance(side, int) and side > 0 else None for side in shape]
        orders = [order for order, channel in ((CHANNELS_FIRST, 1), (CHANNELS_LAST, 3)) if known[channel] == 3]
        if not orders and known[1] is None and known[3] is None:
            orders = [CHANNELS_FIRST, CHANNELS_LAST]
        if not orders:
            raise self._no_picture(shape)
        if known[0] not in (None, 1):
            raise WeightsError(f"{self.path} takes {known[0]} pictures at a time: export it for one, or for any "
                               "number.")
        height, width = known[2:] if orders[0] == CHANNELS_FIRST else known[1:3]
        if (height is None) != (width is None):
            raise WeightsError(f"{self.path} takes {shape}, with one side fixed and one free: export it with both "
                               "fixed or both free.")
        return (height, width) if height else None, orders

    def _no_picture(self, shape: list) -> WeightsError:
        return WeightsError(f"{self.path} takes {shape}: give a network that takes one picture with 3 channels, "
                            "[1, 3, height, width] or [1, height, width, 3].")

    def _try_sizes(self, orders: list[tuple]) -> tuple[tuple, int]:
        """The order of axes and the multiple: as the metadata says, else the least that works for a picture whose
        sides are odd multiples of it."""
        stated = self.about.get("multiple_of") or (self.about.get("input") or {}).get("multiple_of")
        multiples = (stated,) if isinstance(stated, int) and stated > 0 else MULTIPLES
        error = None
        for multiple in multiples:
            odd = TRIAL_SIDE // multiple // 2 * 2 + 1
            height, width = odd * multiple, (odd + 2) * multiple
            for order in orders:
                try:
                    self._run(np.zeros((1, 3, height, width), np.float32), order)
                    return order, multiple
                except WeightsError as failure:
                    error = failure
        raise error

    def _run(self, array: np.ndarray, order: tuple) -> np.ndarray:
        """One picture [1, 3, H, W] -> [1, 3, H, W]: the first of the outputs that is one of that size."""
        height, width = array.shape[2:]
        fed = array.transpose(order).astype(self._type)
        try:
            outputs = self._session.run(None, {self._name: np.ascontiguousarray(fed)})
        except Exception as error:                             # onnxruntime's errors have no common base but this
            raise WeightsError(f"{self.path} cannot draw a picture of {width}x{height} pixels ({one_line(error)}): "
                               "export it for other sizes.") from error
        for output in outputs:
            if np.shape(output) == (1, 3, height, width):
                return output.astype(np.float32)
            if np.shape(output) == (1, height, width, 3):
                return np.ascontiguousarray(output.transpose(0, 3, 1, 2), np.float32)
        shapes = ", ".join(str(list(np.shape(output))) for output in outputs)
        raise WeightsError(f"{self.path} makes {shapes} of a picture of {width}x{height} pixels: give a network whose "
                           "result has 3 channels and the size of its input.")
