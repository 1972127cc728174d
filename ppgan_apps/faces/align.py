"""Face alignment: from 68 landmarks to the upright square crop that Photo2Cartoon is fed, and back. Pure geometry.

The crop is the one that Photo2Cartoon's authors publish (github.com/minivision-ai/photo2cartoon): the picture is
turned until the outer eye corners are level, then the landmarks' own box is widened by 0.8 of its height above, 0.3
of its height below and 0.3 of its width on each side, and made square; what lies outside the picture is white.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

# iBUG-68 indices of the outer eye corners; the person's right eye is on the left of an upright picture.
RIGHT_EYE_OUTER, LEFT_EYE_OUTER = 36, 45
# Where a mirrored face's points come from in iBUG order: the jaw, brows, eyes and lips change sides.
MIRRORED = np.array(
    [*range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, 35, 34, 33, 32, 31]
    + [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]
    + [54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65]
)
ABOVE, BELOW, BESIDE = 0.8, 0.3, 0.3


@dataclass(frozen=True)
class FaceCrop:
    """An upright square cut around a face.

    image: uint8 RGB [size, size, 3]; mask: float32 [size, size] in [0, 1], 1 on the person, or None when not segmented;
    to_crop: float64 [2, 3], the affine map from picture pixels to crop pixels (x then y, pixel centres at whole
    numbers).
    """

    image: np.ndarray
    mask: np.ndarray | None
    to_crop: np.ndarray


def eye_line_angle(landmarks: np.ndarray) -> float:
    """Angle in degrees, in (-180, 180], of the line from point 36 to point 45; 0 is level, positive is clockwise on
    screen.
    """
    right, left = np.asarray(landmarks, np.float64)[[RIGHT_EYE_OUTER, LEFT_EYE_OUTER]]
    x, y = left - right
    return float(np.degrees(np.arctan2(y, x)))


def angle_difference(one: float, other: float) -> float:
    """Of two angles in degrees, in [-180, 180)."""
    return (one - other + 180) % 360 - 180


def rotation(angle: float) -> np.ndarray:
    """The 2x2 matrix that turns screen points (y down) by `-angle` degrees: it levels a line whose angle is `angle`."""
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return np.array([[cosine, sine], [-sine, cosine]])


def transform(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Points [..., 2] mapped by an affine matrix [2, 3]."""
    return np.asarray(points, np.float64) @ matrix[:, :2].T + matrix[:, 2]


def inverse(matrix: np.ndarray) -> np.ndarray:
    """The affine matrix [2, 3] that undoes `matrix` [2, 3]."""
    linear = np.linalg.inv(matrix[:, :2])
    return np.concatenate([linear, (-linear @ matrix[:, 2])[:, None]], axis=1)


def crop_matrix(landmarks: np.ndarray, size: int = 256) -> np.ndarray:
    """The map [2, 3] from picture pixels to Photo2Cartoon's upright square crop of `size` pixels for 68 landmarks."""
    turn = rotation(eye_line_angle(landmarks))
    upright = np.asarray(landmarks, np.float64) @ turn.T
    (left, top), (right, bottom) = upright.min(axis=0), upright.max(axis=0)
    width, height = right - left, bottom - top
    left, right = left - BESIDE * width, right + BESIDE * width
    top, bottom = top - ABOVE * height, bottom + BELOW * height
    side = max(right - left, bottom - top, 1.0)
    centre = np.array([(left + right) / 2, (top + bottom) / 2])
    scale = size / side
    middle = (size - 1) / 2
    return np.concatenate([scale * turn, (middle - scale * centre)[:, None]], axis=1)


def portrait_matrix(landmarks: np.ndarray, size: int = 512, expand: float = 1.0) -> np.ndarray:
    """The map [2, 3] from picture pixels to the upright square of `size` pixels by which FFHQ's faces are cut out.

    Its half side is the larger of 2 eye distances and 1.8 times the way from eyes to mouth, times `expand`; its centre
    lies a tenth of that way below the eyes (Karras et al. 2019, "A Style-Based Generator Architecture for GANs").
    """
    landmarks = np.asarray(landmarks, np.float64)
    right_eye, left_eye = landmarks[36:42].mean(axis=0), landmarks[42:48].mean(axis=0)
    eyes, mouth = (right_eye + left_eye) / 2, (landmarks[48] + landmarks[54]) / 2
    across, down = left_eye - right_eye, mouth - eyes
    level = across + np.array([down[1], -down[0]])             # both say where "right" is
    cosine, sine = level / max(np.hypot(*level), 1e-9)
    half = max(2.0 * np.hypot(*across), 1.8 * np.hypot(*down), 1.0) * expand
    linear = size / (2 * half) * np.array([[cosine, sine], [-sine, cosine]])
    return np.concatenate([linear, ((size - 1) / 2 - linear @ (eyes + 0.1 * down))[:, None]], axis=1)


def warp(image: np.ndarray, matrix: np.ndarray, size: int | tuple[int, int], border: float | None = 255) -> np.ndarray:
    """`image` ([H, W] or [H, W, C]) seen through an affine map [2, 3] into a square (or (width, height)) picture.

    Outside the picture the result is `border`, or with None the nearest pixel of the picture. A map that shrinks is
    preceded by an area reduction, so that fine texture does not alias. Same dtype out.
    """
    import cv2

    width, height = (size, size) if isinstance(size, int) else size
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    matrix = np.asarray(matrix, np.float64)
    if scale < 0.5:
        rows, columns = image.shape[:2]
        shrunk_size = max(1, round(columns * scale * 1.4)), max(1, round(rows * scale * 1.4))
        image = cv2.resize(image, shrunk_size, interpolation=cv2.INTER_AREA)
        ratio = np.array([shrunk_size[0] / columns, shrunk_size[1] / rows])
        # Pixel centres are at whole numbers, so a resize maps x to (x + 0.5) * ratio - 0.5.
        undo = np.array([[1 / ratio[0], 0, 0.5 / ratio[0] - 0.5], [0, 1 / ratio[1], 0.5 / ratio[1] - 0.5]])
        matrix = matrix @ np.vstack([undo, [0, 0, 1]])
    flags = cv2.INTER_LINEAR if scale < 1 else cv2.INTER_CUBIC
    mode, value = (cv2.BORDER_REPLICATE, 0) if border is None else (cv2.BORDER_CONSTANT, border)
    return cv2.warpAffine(image, matrix, (width, height), flags=flags, borderMode=mode, borderValue=(value,) * 4)


def inside(picture_size: tuple[int, int], matrix: np.ndarray, size: int) -> np.ndarray:
    """Where a crop [size, size] shows the picture of (height, width): float32, 1 inside, 0 on the white beyond its
    border.
    """
    return warp(np.ones(picture_size, np.float32), matrix, size, border=0).clip(0, 1)


def crop_face(image: np.ndarray, face, size: int = 256) -> FaceCrop:
    """Photo2Cartoon's crop of one face, white outside the picture, without a mask.

    image: uint8 RGB [H, W, 3]; face: a Face (anything with `.landmarks`) or landmarks [68, 2]; size: side in pixels.
    """
    matrix = crop_matrix(getattr(face, "landmarks", face), size)
    return FaceCrop(warp(image, matrix, size), None, matrix)


def crop_portrait(image: np.ndarray, face, size: int = 512, expand: float = 1.3) -> FaceCrop:
    """FFHQ's crop of one face, wider by `expand`, without a mask; beyond its border the picture is mirrored.

    image: uint8 RGB [H, W, 3]; face: a Face (anything with `.landmarks`) or landmarks [68, 2]; size: side in pixels.
    """
    matrix = portrait_matrix(getattr(face, "landmarks", face), size, expand)
    corners = transform([(0, 0), (size, 0), (0, size), (size, size)], inverse(matrix))
    height, width = image.shape[:2]
    beyond = np.concatenate([-corners.min(axis=0), corners.max(axis=0) - (width, height)])
    # A crop may reach far beyond a small picture: more than the picture itself cannot be mirrored in one go.
    left, top, right, bottom = np.clip(np.ceil(beyond).astype(int) + 2, 0, 4 * max(height, width))
    mirrored = np.pad(image, ((top, bottom), (left, right), (0, 0)), mode="symmetric")
    shifted = matrix @ np.array([[1.0, 0, -left], [0, 1, -top], [0, 0, 1]])
    return FaceCrop(warp(mirrored, shifted, size, border=None), None, matrix)


def with_mask(crop: FaceCrop, mask: np.ndarray) -> FaceCrop:
    """The crop with `mask` [size, size] in [0, 1] kept and its image laid on white where the mask is 0."""
    mask = np.clip(np.asarray(mask, np.float32), 0, 1)
    return replace(crop, image=on_white(crop.image, mask), mask=mask)


def on_white(picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The uint8 RGB picture [H, W, 3] where the mask [H, W] in [0, 1] says so, white elsewhere."""
    import cv2

    share = cv2.merge([np.asarray(mask, np.float32)] * 3)
    white: np.ndarray = 255 - cv2.multiply(255 - picture, share, dtype=cv2.CV_8U)  # rounds
    return white


def paste_back(image: np.ndarray, crop: FaceCrop, result: np.ndarray, feather: float = 0.02) -> np.ndarray:
    """`image` with `result` (the processed crop, any square size) laid back where the crop came from.

    Where the crop has a mask only the person is replaced; without one the whole square is. The square's border
    fades over `feather` of its side. Returns a new uint8 RGB [H, W, 3].
    """
    import cv2

    side = crop.image.shape[0]
    if result.shape[:2] != (side, side):
        method = cv2.INTER_AREA if result.shape[0] > side else cv2.INTER_CUBIC
        result = cv2.resize(result, (side, side), interpolation=method)
    share = np.ones((side, side), np.float32) if crop.mask is None else crop.mask.astype(np.float32)
    if feather > 0:
        position = np.arange(side, dtype=np.float32)
        ramp = np.clip((np.minimum(position, side - 1 - position) + 1) / (feather * side), 0, 1)
        share = share * np.minimum.outer(ramp, ramp)
    height, width = image.shape[:2]
    back = inverse(crop.to_crop)
    corners = transform([(0, 0), (side, 0), (0, side), (side, side)], back)
    left, top = np.clip(np.floor(corners.min(axis=0)).astype(int) - 1, 0, (width, height))
    right, bottom = np.clip(np.ceil(corners.max(axis=0)).astype(int) + 2, 0, (width, height))
    output = image.copy()
    if right <= left or bottom <= top:
        return output
    back = back - np.array([[0, 0, left], [0, 0, top]])
    window = int(right - left), int(bottom - top)
    share = np.clip(warp(share, back, window, border=0), 0, 1)[..., None]
    pasted = warp(np.ascontiguousarray(result), back, window, border=None)
    region = output[top:bottom, left:right]
    region[:] = np.rint(pasted * share + region * (1 - share)).astype(np.uint8)
    return output
