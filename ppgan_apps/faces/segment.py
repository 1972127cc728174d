"""The mask of the person in a picture: head, hair, head-wear, neck and shoulders, as Photo2Cartoon keeps them on white.

Backends by name: "embedded" (a small network trained by tools/train_faces.py, in the package), "grabcut" (no
network at all, seeded by the landmarks), "pp_humanseg" and "fcn_hrnet_w18" (PaddleSeg's, downloaded). All of them
refine the edge with a guided filter at full size.
"""

from __future__ import annotations

import functools

import numpy as np

from ..errors import ImageError, MissingExtra, NoFaceError, SuiteError, WeightsError
from .align import crop_matrix, inverse, warp
from .embedded import FOLDER, FaceNetwork, open_network

BACKENDS = ("embedded", "grabcut", "pp_humanseg", "fcn_hrnet_w18")
# GrabCut's cost grows with the pixels and its colour models do not: 112 pixels give the mask of 256 within 1 %.
GRABCUT_SIDE = 112
# The embedded network is unsure in a wide band, having learned from soft labels; steeper logits keep haze out of the
# cut.
SHARPEN = 2.0
# Of people it was not trained on it is less sure: without this its masks are too small by a thin rim of hair.
LIFT = 0.8

# How often, in tenths, a place in Photo2Cartoon's crop shows the person: the left half (the right one mirrors it) of
# the mean of the 140 training portraits' masks in 20 x 20 cells. It tells GrabCut where hair and shoulders may be.
PERSON_SHARE = (
    "0000001345 0000024577 0000146899 0001368999 0001489999 0002599999 0013699999 0013699999 0014799999 0024799999 "
    "0023799999 0123699999 0123489999 0123379999 0123469999 1223469999 2345679999 3467899999 5788999999 7899999999"
).split()


def segment(image: np.ndarray, landmarks: np.ndarray | None = None, backend: str = "embedded") -> np.ndarray:
    """The soft mask of the person: float32 [H, W] in [0, 1].

    image: uint8 RGB [H, W, 3]; best is a face crop, which gives the person more of the network's pixels than a whole
    photograph does. landmarks: [68, 2] in pixels of `image`, which "grabcut" needs;
    with a network they say whose mask is kept when something else was marked as well.
    Raises NoFaceError for "grabcut" without landmarks or with all of them outside the picture, MissingExtra or
    WeightsError when a backend cannot be had, SuiteError for an unknown backend.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise ImageError(f"A uint8 RGB picture [H, W, 3] is needed for a mask, not {image.dtype} {image.shape}.")
    if backend == "grabcut":
        coarse = grabcut(image, landmarks)
    elif backend == "embedded":
        coarse = embedded(image)
    elif backend in BACKENDS:
        coarse = paddleseg(image, backend)
    else:
        raise SuiteError(f"There is no segmenter '{backend}': use one of {', '.join(BACKENDS)}.")
    if landmarks is not None and backend != "grabcut":
        coarse = without_islands(
            coarse, np.asarray(landmarks) * (coarse.shape[1] / image.shape[1], coarse.shape[0] / image.shape[0])
        )
    return refine(image, coarse)


def without_islands(coarse: np.ndarray, points: np.ndarray) -> np.ndarray:
    """A network's mask [h, w] without what does not hang together with the face at `points` [68, 2]; holes filled."""
    import cv2

    firm = (coarse > 0.3).astype(np.uint8)
    person = keep_connected(firm, points)
    filled = np.where(person > firm, 1.0, coarse)
    # The soft edge belongs to the person; haze further away does not.
    return np.where(cv2.dilate(person, np.ones((7, 7), np.uint8)) > 0, filled, 0.0).astype(np.float32)


def guided_filter(guide: np.ndarray, source: np.ndarray, radius: int, epsilon: float) -> np.ndarray:
    """Edge-keeping smoothing of `source` led by a grey `guide`, both float [H, W] in [0, 1] -> float32 [H, W].

    He, Sun and Tang, "Guided Image Filtering", ECCV 2010, equations 5 to 8: in each window of side 2 radius + 1 the
    answer is a linear function of the guide; `epsilon` is the guide's variance below which a window counts as flat.
    """
    import cv2

    # Sums of squares of whole windows lose digits in float32.
    guide, source = guide.astype(np.float64), source.astype(np.float64)
    window = (2 * radius + 1, 2 * radius + 1)

    def mean(values: np.ndarray) -> np.ndarray:
        return cv2.boxFilter(values, -1, window, borderType=cv2.BORDER_REFLECT)

    guide_mean, source_mean = mean(guide), mean(source)
    slope = (mean(guide * source) - guide_mean * source_mean) / (mean(guide * guide) - guide_mean**2 + epsilon)
    return (mean(slope) * guide + mean(source_mean - slope * guide_mean)).astype(np.float32)


def refine(image: np.ndarray, coarse: np.ndarray) -> np.ndarray:
    """A coarse mask [h, w] enlarged to the picture's size, its uncertain edge moved onto the picture's own edge."""
    import cv2

    height, width = image.shape[:2]
    mask = coarse.astype(np.float32)
    if mask.shape != (height, width):
        mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    radius = max(2, round(max(height, width) / 128))
    filtered = guided_filter(grey, mask, radius, 1e-3)
    # Only what the segmenter is unsure of may change: the filter must not draw stripes of a shirt into the mask.
    return np.clip(np.where((mask > 0.02) & (mask < 0.98), filtered, mask), 0, 1).astype(np.float32)


# ------------------------------------------------------------------------------------------------------------ grabcut


def grabcut(image: np.ndarray, landmarks: np.ndarray | None) -> np.ndarray:
    """GrabCut (Rother et al., SIGGRAPH 2004) from regions drawn around the landmarks: a coarse mask [h, w] in [0, 1].

    The face is person for sure; where most portraits show hair, neck or shoulders is probably person; where hardly
    any does is background for sure. The same picture always gives the same mask.
    """
    import cv2

    if landmarks is None:
        raise NoFaceError("The segmenter 'grabcut' needs the landmarks of a face: detect one first.")
    height, width = image.shape[:2]
    scale = min(1.0, GRABCUT_SIDE / max(height, width))
    size = max(8, round(width * scale)), max(8, round(height * scale))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    points = np.asarray(landmarks, np.float64) * (np.array(size) / (width, height))
    regions = person_regions(points, size)
    if not (regions == cv2.GC_FGD).any():
        raise NoFaceError("The segmenter 'grabcut' needs landmarks inside the picture; these lie outside.")
    certain = np.isin(regions, (cv2.GC_BGD, cv2.GC_PR_BGD))
    if not certain.any():
        return np.ones(size[::-1], np.float32)  # the face fills the picture: no background to learn from
    cv2.setRNGSeed(0)  # its colour clusters start at random: without this the mask differs from call to call
    background, foreground = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(small[..., ::-1].copy(), regions, None, background, foreground, 5, cv2.GC_INIT_WITH_MASK)
    mask = np.isin(regions, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    mask = keep_connected(mask, points)
    return cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.7)


def person_regions(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """GrabCut's four labels, uint8 [h, w], for 68 landmarks [68, 2] in a picture of `size` (width, height)."""
    import cv2

    half = np.array([[int(digit) for digit in row] for row in PERSON_SHARE], np.float32) / 10 + 0.05
    share = np.concatenate([half, half[:, ::-1]], axis=1)  # [20, 20] over Photo2Cartoon's crop
    # Through the crop's frame onto the picture; what lies beyond the crop continues its border.
    share = cv2.GaussianBlur(cv2.resize(share, (80, 80), interpolation=cv2.INTER_LINEAR), (0, 0), 1.5)
    share = warp(share, inverse(crop_matrix(points, 80)), size, border=None)
    regions = np.full(share.shape, cv2.GC_BGD, np.uint8)
    regions[share > 0.1] = cv2.GC_PR_BGD
    regions[share > 0.5] = cv2.GC_PR_FGD
    # Person for sure: what nearly every portrait shows there, and the face inside its outline.
    regions[share > 0.85] = cv2.GC_FGD
    inner = points[:27].mean(axis=0) + 0.9 * (points[:27] - points[:27].mean(axis=0))
    cv2.fillPoly(regions, [cv2.convexHull(np.rint(inner).astype(np.int32))], cv2.GC_FGD)
    return regions


def keep_connected(mask: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The part of a 0/1 mask that holds the face, with its holes filled; islands elsewhere go."""
    import cv2

    _, labels = cv2.connectedComponents(mask, connectivity=8)
    x, y = np.clip(np.rint(points.mean(axis=0)), 0, np.array(mask.shape[::-1]) - 1).astype(int)
    label = labels[y, x]
    person = (labels == label).astype(np.uint8) if label else mask
    outside, parts, statistics, _ = cv2.connectedComponentsWithStats(1 - person, connectivity=4)
    limit = 0.01 * mask.size  # a small hole is a button or a highlight; a large one is the space under an arm
    for hole in range(1, outside):
        left, top, width, height, area = statistics[hole]
        inside = left > 0 and top > 0 and left + width < mask.shape[1] and top + height < mask.shape[0]
        if inside and area < limit:
            person[parts == hole] = 1
    return person


# ----------------------------------------------------------------------------------------------------------- networks


def embedded(image: np.ndarray) -> np.ndarray:
    """The embedded network's mask [SIDE, SIDE] or smaller, of the picture's shape, in [0, 1]."""
    network = load_embedded()
    window, (height, width) = letterbox(image, network.side)
    logits = network.run(window)[0]  # [2, 1, side, side]
    probability = 1 / (1 + np.exp(-(SHARPEN * logits[:, 0] + LIFT)))
    # The mask of the mirrored picture, mirrored back, takes away half of the network's chance errors.
    straight, mirrored = probability[0, :height, :width], probability[1, :height, :width][:, ::-1]
    return (straight + mirrored) / 2


def letterbox(image: np.ndarray, side: int) -> tuple[np.ndarray, tuple[int, int]]:
    """The picture and its mirror image as float32 [2, 3, side, side] in [-1, 1], at the top left, white elsewhere.

    Also gives the (height, width) that the picture takes.
    """
    import cv2

    scale = side / max(image.shape[:2])
    height, width = (max(1, round(length * scale)) for length in image.shape[:2])
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = cv2.resize(image, (width, height), interpolation=method)
    window = np.ones((2, 3, side, side), np.float32)
    window[0, :, :height, :width] = small.transpose(2, 0, 1) / 127.5 - 1
    window[1, :, :height, :width] = small[:, ::-1].transpose(2, 0, 1) / 127.5 - 1
    return window, (height, width)


@functools.lru_cache(maxsize=1)
def load_embedded() -> FaceNetwork:
    """The embedded PortraitSegmenter, ready to run."""
    return open_network(FOLDER / "faces-segmenter.safetensors", "segmentation:PortraitSegmenter")


def paddleseg(image: np.ndarray, backend: str) -> np.ndarray:
    """A PaddleSeg network's mask of the picture, [h, w] in [0, 1]."""
    import cv2
    import paddle

    network, (width, height) = load_paddleseg(backend)
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    tensor = paddle.to_tensor((small.transpose(2, 0, 1)[None] / 127.5 - 1).astype(np.float32))  # [1, 3, h, w]
    with paddle.no_grad():
        logits = network(tensor)[0]  # [1, 2, h, w]: background, person
        return paddle.nn.functional.softmax(logits, axis=1)[0, 1].numpy()


@functools.lru_cache(maxsize=2)
def load_paddleseg(backend: str):
    """A PaddleSeg network with its published weights, and the (width, height) it is fed.

    Raises MissingExtra without the package paddleseg, WeightsError when the weights can be neither found nor fetched.
    """
    from .. import zoo
    from ..weights import load_strict, read_weights

    try:
        from paddleseg.models import FCN, HRNet_W18, PPHumanSegLite
    except ImportError as error:
        raise MissingExtra("paddleseg", "paddleseg", f"The segmenter '{backend}'") from error
    if backend == "pp_humanseg":
        network, size = PPHumanSegLite(num_classes=2), (192, 192)
    else:
        network, size = FCN(num_classes=2, backbone=HRNet_W18()), (384, 384)
    record = zoo.get(f"faces/{backend}")
    path = record.path()
    try:
        state = read_weights(path, record.part)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({error.strerror}).") from error
    load_strict(network, state, str(path))
    network.eval()
    return network, size
