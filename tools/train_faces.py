"""Train the two face models that travel with the package: dlib's 68-point predictor and the portrait segmenter.

    python tools/label_faces.py data/portraits -o labels/portraits          # in its own environment, see there
    python tools/train_faces.py landmarks data/portraits labels/portraits -o faces-landmarks.dat
    python tools/train_faces.py segmenter data/portraits labels/portraits -o faces-segmenter.safetensors

One portrait in eight is never trained on (`is_held_out`); tests/faces measures both models on those.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from ppgan_apps.errors import DataError, SuiteError
from ppgan_apps.faces.align import MIRRORED, inverse, rotation, transform, warp
from ppgan_apps.faces.detect import FACE, PATCH, box_of_landmarks
from ppgan_apps.images import find_images, read_image


@dataclass(frozen=True)
class Sample:
    """A labelled picture: uint8 RGB [H, W, 3], landmarks [68, 2], their depth [68] in pixels (growing away
    from the camera), soft mask float32 [H, W]."""

    name: str
    image: np.ndarray
    landmarks: np.ndarray
    depth: np.ndarray
    mask: np.ndarray


def is_held_out(name: str) -> bool:
    """True for the portraits kept for testing: those whose number leaves 3 when divided by 8 (female_03, male_11
    ...).
    """
    return int(name.rsplit("_", 1)[-1]) % 8 == 3


def read_samples(pictures: Path, labels: Path) -> list[Sample]:
    """Every picture below `pictures` that has a label with a face. Raises DataError when there is none."""
    samples = []
    for path in find_images(pictures):
        name = "_".join(path.relative_to(pictures).with_suffix("").parts)
        file = labels / f"{name}.npz"
        if not file.is_file():
            continue
        with np.load(file) as label:
            if label["found"]:
                samples.append(
                    Sample(name, read_image(path), label["landmarks"], label["depth"], label["mask"].astype(np.float32))
                )
    if not samples:
        raise DataError(f"{labels} holds no label for a picture in {pictures}: run tools/label_faces.py first.")
    return samples


# ---------------------------------------------------------------------------------------------------------- landmarks


def degrade(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A photograph's misfortunes on uint8 RGB: exposure, contrast, tint, lost colour, blur, low resolution, noise,
    JPEG.
    """
    import cv2

    values = image.astype(np.float32) / 255
    values = values ** np.exp(random.normal(0, 0.35))
    if random.random() < 0.25:
        values *= random.uniform(0.3, 1.0)
    values = (values - 0.5) * np.exp(random.normal(0, 0.2)) + 0.5 + random.normal(0, 0.06)
    values *= np.exp(random.normal(0, 0.07, 3))
    if random.random() < 0.2:
        values[:] = values @ np.array([0.299, 0.587, 0.114], np.float32)[:, None]
    if random.random() < 0.4:  # light from one side
        direction = random.normal(0, 1, 2)
        rows, columns = np.mgrid[-1 : 1 : image.shape[0] * 1j, -1 : 1 : image.shape[1] * 1j].astype(np.float32)
        values *= (1 + random.uniform(0, 0.6) * (direction[0] * rows + direction[1] * columns))[..., None]
    values = np.clip(values, 0, 1)
    if random.random() < 0.3:
        values = cv2.GaussianBlur(values, (0, 0), random.uniform(0.4, 2.2))
    if random.random() < 0.25:
        factor = random.uniform(0.25, 0.8)
        small = cv2.resize(values, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        values = cv2.resize(small, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    if random.random() < 0.4:
        values = values + random.normal(0, random.uniform(0.01, 0.06), values.shape)
    output = (np.clip(values, 0, 1) * 255).astype(np.uint8)
    if random.random() < 0.3:
        quality = int(random.uniform(20, 80))
        coded = cv2.imencode(".jpg", output, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        output = cv2.imdecode(coded, cv2.IMREAD_COLOR)
    return output


def turn_head(patch: np.ndarray, points: np.ndarray, depth: np.ndarray, random: np.random.Generator):
    """The head turned sideways and nodding by a random angle: the patch bent accordingly, and the new points [68, 2].

    The portraits look straight at the camera and photographs do not. The points are turned in space; the pixels
    follow by a thin-plate spline through them that leaves the patch's border in place.
    """
    import cv2
    from scipy.interpolate import RBFInterpolator

    yaw = float(np.clip(random.normal(0, 20), -38, 38))
    nod = float(np.clip(random.normal(0, 9), -20, 20))
    centre = np.array([*points[[27, 33]].mean(axis=0), depth[[0, 16]].mean()])
    solid = np.concatenate([points, depth[:, None]], axis=1) - centre
    solid[:, [0, 2]] = solid[:, [0, 2]] @ rotation(yaw)
    solid[:, [1, 2]] = solid[:, [1, 2]] @ rotation(nod)
    turned = (solid + centre)[:, :2]
    side = len(patch)
    border = np.linspace(0, side, 7)
    ring = np.array([(u, v) for u in border for v in border if u in (0, side) or v in (0, side)])
    places = np.concatenate([turned, ring])
    moves = np.concatenate([points - turned, np.zeros_like(ring)])
    spline = RBFInterpolator(places, moves, kernel="thin_plate_spline", smoothing=side / 2)
    coarse = (np.arange(24) + 0.5) * side / 24 - 0.5
    grid = np.stack(np.meshgrid(coarse, coarse), axis=-1)  # [24, 24, 2], x then y
    field = spline(grid.reshape(-1, 2)).reshape(24, 24, 2).astype(np.float32)
    field = cv2.resize(field, (side, side), interpolation=cv2.INTER_LINEAR)
    rows, columns = np.mgrid[0:side, 0:side].astype(np.float32)
    bent = cv2.remap(
        patch, columns + field[..., 0], rows + field[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return bent, turned


def wear(patch: np.ndarray, points: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Glasses, sunglasses or a block in front of the face, drawn on a patch: photographs have them, the portraits
    few.
    """
    import cv2

    patch = np.ascontiguousarray(patch)
    eyes = points[36:42].mean(axis=0), points[42:48].mean(axis=0)
    span = float(np.linalg.norm(eyes[1] - eyes[0]))
    shade = tuple(int(v) for v in random.integers(0, 70, 3))
    chance = random.random()
    if chance < 0.35:
        size = random.uniform((0.26, 0.2), (0.5, 0.42)) * span
        angle = float(np.degrees(np.arctan2(*(eyes[1] - eyes[0])[::-1])))
        thickness = -1 if chance < 0.24 else max(1, round(0.03 * span * random.uniform(0.6, 2)))
        drawn = patch.copy()
        drop = random.uniform(-0.05, 0.15) * span * np.array([-np.sin(np.radians(angle)), np.cos(np.radians(angle))])
        eyes = [eye + drop for eye in eyes]
        square = random.random() < 0.5
        for eye in eyes:
            lens = tuple(eye.tolist()), tuple((2 * size).tolist()), angle
            if square:
                corners = np.rint(cv2.boxPoints(lens)).astype(np.int32)
                cv2.polylines(drawn, [corners], True, shade, max(1, thickness), cv2.LINE_AA)
                if thickness < 0:
                    cv2.fillPoly(drawn, [corners], shade)
            else:
                cv2.ellipse(drawn, lens, shade, thickness, cv2.LINE_AA)
        if thickness < 0 and random.random() < 0.5:  # the sky or a street in the lenses
            lenses = (drawn != patch).any(axis=-1)
            frame = cv2.erode(lenses.astype(np.uint8), None, iterations=max(1, round(0.04 * span))) > 0
            lenses = frame if random.random() < 0.7 else lenses
            cells = int(random.integers(2, 9))
            mirror = random.integers(0, 256, (cells, cells, 3), np.uint8)
            mirror = cv2.resize(mirror, patch.shape[1::-1], interpolation=cv2.INTER_CUBIC)
            light = random.uniform(0, 255) * random.random()
            drawn[lenses] = np.clip(0.5 * mirror[lenses] + light, 0, 255).astype(np.uint8)
        cv2.line(drawn, *(tuple(np.rint(eye).astype(int).tolist()) for eye in eyes), shade, max(1, round(0.04 * span)))
        strength = random.uniform(0.75, 1)
        patch = cv2.addWeighted(drawn, strength, patch, 1 - strength, 0)
    elif chance < 0.47:  # hair, a hand, a cup
        centre = points[random.integers(68)] + random.normal(0, 0.3 * span, 2)
        half = random.uniform(0.15, 0.5, 2) * span
        corners = np.rint([centre - half, centre + half]).astype(int)
        colour = tuple(int(v) for v in random.integers(0, 256, 3))
        if random.random() < 0.5:
            cv2.rectangle(patch, *map(tuple, corners.tolist()), colour, -1)
        else:
            bend = centre + random.normal(0, 1.2 * span, (3, 2))
            cv2.polylines(
                patch, [np.rint(bend).astype(np.int32)], False, colour, max(1, int(random.uniform(0.03, 0.3) * span))
            )
    return patch


def landmark_patch(sample: Sample, random: np.random.Generator, plain: bool = False, turned: float = 0.3):
    """One training patch: grey [PATCH, PATCH], its landmarks [68, 2] and the jittered detector box (left, top,
    right, bottom).
    """
    import cv2

    angle = 0.0 if plain else random.choice([random.normal(0, 8), random.uniform(-42, 42)], p=[0.6, 0.4])
    scale = 1.0 if plain else np.exp(random.normal(0, 0.08))
    stretch = 1.0 if plain else np.exp(random.normal(0, 0.04))
    centre, width = box_of_landmarks(sample.landmarks)
    linear = FACE / width * scale * (rotation(angle) @ np.diag([stretch, 1 / stretch]))
    mirror = not plain and random.random() < 0.5
    if mirror:
        linear = np.diag([-1.0, 1.0]) @ linear
    matrix = np.concatenate([linear, (PATCH / 2 - linear @ centre)[:, None]], axis=1)
    points = transform(sample.landmarks, matrix)
    if mirror:
        points = points[MIRRORED]
    patch = warp(sample.image, matrix, PATCH, border=float(random.integers(256)))
    if not plain:
        if random.random() < turned:
            depth = sample.depth[MIRRORED if mirror else slice(None)] * abs(np.linalg.det(linear)) ** 0.5
            patch, points = turn_head(patch, points, depth, random)
        patch = degrade(wear(patch, points, random), random)
    # The box is the detector's: of a face turned in the picture it keeps the upright square around the same centre.
    middle, width = box_of_landmarks(points)
    half = width / 2
    if not plain:
        middle = middle + random.normal(0, 0.05, 2) * FACE
        half *= np.exp(random.normal(0, 0.07))
    return cv2.cvtColor(patch, cv2.COLOR_RGB2GRAY), points, (*(middle - half), *(middle + half))


def train_landmarks(options: argparse.Namespace) -> None:
    """Fit dlib's regression trees (Kazemi and Sullivan, CVPR 2014) to augmented portraits and write the .dat file."""
    import dlib

    samples = [s for s in read_samples(options.pictures, options.labels) if options.all or not is_held_out(s.name)]
    random = np.random.default_rng(options.seed)
    patches, annotations = [], []
    for sample in samples:
        for copy in range(options.copies):
            patch, points, box = landmark_patch(sample, random, plain=copy == 0, turned=options.turned)
            rectangle = dlib.rectangle(*(int(round(v)) for v in box))
            parts = [dlib.point(int(round(x)), int(round(y))) for x, y in points]
            patches.append(patch)
            annotations.append([dlib.full_object_detection(rectangle, parts)])
    settings = dlib.shape_predictor_training_options()
    settings.cascade_depth = options.cascade
    settings.num_trees_per_cascade_level = options.trees
    settings.tree_depth = options.depth
    settings.nu = options.nu
    settings.oversampling_amount = options.oversampling
    settings.oversampling_translation_jitter = 0.0
    settings.feature_pool_size = 500
    settings.feature_pool_region_padding = options.padding
    settings.lambda_param = 0.1
    settings.num_test_splits = 20
    settings.num_threads = options.threads
    settings.random_seed = str(options.seed)
    settings.be_verbose = False
    started = time.perf_counter()
    predictor = dlib.train_shape_predictor(patches, annotations, settings)
    temporary = options.output.with_suffix(".part")
    predictor.save(str(temporary))
    os.replace(temporary, options.output)
    size = options.output.stat().st_size / 1e6
    print(f"{options.output}: {len(patches)} patches, {size:.2f} MB, {time.perf_counter() - started:.0f} s")


# ---------------------------------------------------------------------------------------------------------- segmenter


@dataclass(frozen=True)
class Layers:
    """A portrait taken apart at working size: its person with colours drawn past the edge, and what is behind it."""

    image: np.ndarray
    person: np.ndarray
    background: np.ndarray
    landmarks: np.ndarray
    mask: np.ndarray


def take_apart(sample: Sample) -> Layers:
    """Foreground and background colours everywhere, so that a person can stand on another background without a halo."""
    import cv2

    scale = 512 / max(sample.image.shape[:2])
    image, mask, landmarks = sample.image, sample.mask, sample.landmarks
    if scale < 1:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        mask = cv2.resize(mask, image.shape[1::-1], interpolation=cv2.INTER_AREA)
        landmarks = (landmarks + 0.5) * scale - 0.5

    def spread(weight: np.ndarray, widths: tuple[int, ...]) -> np.ndarray:
        """The image where weight is 1, elsewhere its average from ever wider surroundings."""
        filled, known = np.zeros(image.shape, np.float32), np.zeros(weight.shape, np.float32)
        for width in (0, *widths):
            source, share = image * weight[..., None], weight
            if width:
                window = (4 * width + 1, 4 * width + 1)
                source, share = (cv2.boxFilter(v.astype(np.float32), -1, window) for v in (source, share))
            take = (share > 0.02) & (known == 0) if width else weight > 0.99
            filled[take] = (source / np.maximum(share, 1e-4)[..., None])[take]
            known[take] = 1
        filled[known == 0] = image.mean(axis=(0, 1))
        return filled.clip(0, 255).astype(np.uint8)

    person = spread((mask > 0.95).astype(np.float32), (2, 6, 20))
    background = spread((mask < 0.03).astype(np.float32), (4, 16, 50))
    return Layers(image, person, background, landmarks, mask)


def invented_background(side: int, random: np.random.Generator) -> np.ndarray:
    """A background of colours, gradients, clouds or stripes: uint8 RGB [side, side, 3]."""
    import cv2

    kind = random.random()
    colours = random.integers(0, 256, (2, 3)).astype(np.float32)
    if kind < 0.15:
        return np.full((side, side, 3), random.choice([255, 250, 235, 0, 20]), np.uint8)
    if kind < 0.35:
        share = np.zeros((side, side), np.float32)
    elif kind < 0.55:
        rows, columns = np.mgrid[0 : 1 : side * 1j, 0 : 1 : side * 1j].astype(np.float32)
        share = rows * random.random() + columns * random.random()
    elif kind < 0.85:
        share = np.zeros((side, side), np.float32)
        for octave in (2, 4, 8, 16, 32):
            noise = random.random((octave, octave)).astype(np.float32)
            share += cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC) / octave ** random.uniform(0.2, 1)
        share = (share - share.min()) / np.ptp(share)
    else:
        rows, columns = np.mgrid[0:side, 0:side].astype(np.float32)
        period, angle = random.uniform(6, 60), random.uniform(0, np.pi)
        share = ((rows * np.sin(angle) + columns * np.cos(angle)) % period > period * random.uniform(0.2, 0.8)).astype(
            np.float32
        )
    mixed = colours[0] * (1 - share[..., None]) + colours[1] * share[..., None]
    return mixed.clip(0, 255).astype(np.uint8)


def segmenter_example(everyone: list[Layers], side: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """One training pair: uint8 RGB [side, side, 3] and its soft mask float32 [side, side]."""
    import cv2

    from ppgan_apps.faces.align import crop_matrix

    layers = everyone[random.integers(len(everyone))]
    if random.random() < 0.15:  # the whole picture, as a caller without landmarks gives it
        height, width = layers.image.shape[:2]
        scale = side / max(height, width) * np.exp(random.uniform(-0.15, 0.15))
        linear, centre = scale * np.eye(2), np.array([width / 2, height / 2])
    else:  # near Photo2Cartoon's crop
        matrix = crop_matrix(layers.landmarks, side)
        linear, centre = matrix[:, :2] * np.exp(random.normal(-0.05, 0.2)), inverse(matrix) @ (side / 2, side / 2, 1)
    linear = rotation(random.normal(0, 10)) @ linear
    if random.random() < 0.5:
        linear = np.diag([-1.0, 1.0]) @ linear
    middle = side / 2 + random.normal(0, 0.05, 2) * side
    matrix = np.concatenate([linear, (middle - linear @ centre)[:, None]], axis=1)
    mask = warp(layers.mask, matrix, side, border=0).clip(0, 1)
    if random.random() < 0.35:
        picture = warp(layers.image, matrix, side)
    else:
        person = warp(layers.person, matrix, side)
        if random.random() < 0.5:
            behind = everyone[random.integers(len(everyone))].background
            extent = int(random.uniform(0.4, 1) * min(behind.shape[:2]))
            top, left = (random.integers(length - extent + 1) for length in behind.shape[:2])
            behind = cv2.resize(
                behind[top : top + extent, left : left + extent], (side, side), interpolation=cv2.INTER_AREA
            )
            behind = degrade(behind[:, ::-1] if random.random() < 0.5 else behind, random)
        else:
            behind = invented_background(side, random)
        share = mask[..., None]
        picture = (person * share + behind * (1 - share)).astype(np.uint8)
        # White beyond the picture's own border stays white, as in a crop made by crop_face.
        shown = warp(np.ones(layers.image.shape[:2], np.uint8), matrix, side, border=0)
        picture[shown == 0] = 255
    picture = degrade(picture, random)
    if random.random() < 0.25:  # something in front of the person, or a cut corner: it hides without being the person
        half = random.uniform(0.03, 0.2, 2) * side
        left, top = (int(v) for v in random.uniform(0, 0.8, 2) * side)
        block = np.s_[top : top + int(half[1]), left : left + int(half[0])]
        # Filled with the colour found there, so that only texture is lost and the label still holds.
        picture[block] = picture[block].mean(axis=(0, 1)) if picture[block].size else 0
    return picture, mask


def segmentation_loss(logits, mask):
    """Cross-entropy, three times as heavy along the edge, plus 1 - Dice; logits and soft mask [N, 1, H, W]."""
    from paddle.nn import functional as F

    edge = F.max_pool2d(mask, 9, 1, 4) + F.max_pool2d(-mask, 9, 1, 4)  # [N, 1, H, W]: 1 within 4 pixels of the edge
    cross_entropy = F.binary_cross_entropy_with_logits(logits, mask, weight=1 + 2 * edge)
    probability = F.sigmoid(logits)
    shared, total = (probability * mask).sum(axis=[1, 2, 3]), (probability + mask).sum(axis=[1, 2, 3])
    return cross_entropy + (1 - (2 * shared + 1) / (total + 1)).mean()


def batches(everyone: list[Layers], options: argparse.Namespace):
    """Training batches made ahead by a thread: (step, images [N, 3, s, s] in [-1, 1], masks [N, 1, s, s])."""
    from concurrent.futures import ThreadPoolExecutor

    from ppgan_apps.images import to_array

    def make(step: int) -> tuple[np.ndarray, np.ndarray]:
        random = np.random.default_rng((options.seed, step))
        side = 128 if step < options.small_steps else 192
        pairs = [segmenter_example(everyone, side, random) for _ in range(options.batch)]
        return to_array([picture for picture, _ in pairs]), np.stack([mask for _, mask in pairs])[:, None]

    with ThreadPoolExecutor(1) as pool:
        coming = [pool.submit(make, step) for step in range(3)]
        for step in range(options.steps):
            yield step, *coming.pop(0).result()
            if step + 3 < options.steps:
                coming.append(pool.submit(make, step + 3))


def train_segmenter(options: argparse.Namespace) -> None:
    """Fit PortraitSegmenter to augmented portraits and write float16 safetensors."""
    samples = [s for s in read_samples(options.pictures, options.labels) if options.all or not is_held_out(s.name)]
    everyone = [take_apart(sample) for sample in samples]
    import paddle

    from ppgan_apps.networks.segmentation import PortraitSegmenter

    paddle.seed(options.seed)
    network = PortraitSegmenter()
    if options.start is not None:
        from ppgan_apps.weights import load_strict, read_weights

        load_strict(network, read_weights(options.start), str(options.start))
    warm = 100

    def rate(step: int) -> float:
        """Linear rise over `warm` steps, then half a cosine down to a hundredth."""
        fall = 0.505 + 0.495 * np.cos(np.pi * step / options.steps)
        return options.rate * min((step + 1) / warm, 1.0) * fall

    optimizer = paddle.optimizer.AdamW(options.rate, parameters=network.parameters(), weight_decay=1e-3)
    started, average = time.perf_counter(), None
    for step, images, masks in batches(everyone, options):
        optimizer.set_lr(rate(step))
        loss = segmentation_loss(network(paddle.to_tensor(images)), paddle.to_tensor(masks))
        loss.backward()
        optimizer.step()
        optimizer.clear_grad()
        value = float(loss)
        average = value if average is None else 0.98 * average + 0.02 * value
        if (step + 1) % 100 == 0:
            print(f"step {step + 1} loss {average:.4f} {time.perf_counter() - started:.0f} s", flush=True)
        if (step + 1) % 200 == 0 or step + 1 == options.steps:
            save_segmenter(network, options.output, step + 1)


def save_segmenter(network, path: Path, step: int) -> None:
    """The network's weights as float16 safetensors with what is needed to rebuild it."""
    from ppgan_apps.weights import save_weights

    metadata = {
        "family": "segmenter",
        "network": network.arguments,
        "step": step,
        "licence": "Apache-2.0",
        "source": "trained on faker-js portraits (CC0 1.0) with labels of mediapipe 0.10.21 (Apache-2.0)",
    }
    state = {name: value.numpy() for name, value in network.state_dict().items()}
    save_weights(path, state, metadata, half=True)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    landmarks = commands.add_parser("landmarks", help="dlib's 68-point shape predictor")
    landmarks.set_defaults(train=train_landmarks)
    landmarks.add_argument("--copies", type=int, default=40, help="augmented patches per portrait")
    landmarks.add_argument("--cascade", type=int, default=12)
    landmarks.add_argument("--trees", type=int, default=36, help="trees per cascade level")
    landmarks.add_argument("--depth", type=int, default=4)
    landmarks.add_argument("--nu", type=float, default=0.2, help="shrinkage of each tree's answer")
    landmarks.add_argument(
        "--padding", type=float, default=0.25, help="margin around the face in which pixels are compared"
    )
    landmarks.add_argument("--oversampling", type=int, default=3, help="first guesses per patch")
    landmarks.add_argument("--turned", type=float, default=0.3, help="share of patches with the head turned in space")
    landmarks.add_argument("--threads", type=int, default=1)
    segmenter = commands.add_parser("segmenter", help="the portrait segmenter")
    segmenter.set_defaults(train=train_segmenter)
    segmenter.add_argument("--steps", type=int, default=1300)
    segmenter.add_argument("--small-steps", type=int, default=1100, help="first steps at 128 pixels, the others at 192")
    segmenter.add_argument("--batch", type=int, default=12)
    segmenter.add_argument("--rate", type=float, default=4e-3, help="highest learning rate")
    segmenter.add_argument("--start", type=Path, help="go on from this weight file instead of from chance")
    for command in (landmarks, segmenter):
        command.add_argument("pictures", type=Path, help="folder of portraits")
        command.add_argument("labels", type=Path, help="folder written by tools/label_faces.py")
        command.add_argument("-o", "--output", type=Path, required=True)
        command.add_argument("--seed", type=int, default=0)
        command.add_argument("--all", action="store_true", help="train on the held-out portraits as well")
    options = parser.parse_args(arguments)
    try:
        options.train(options)
    except SuiteError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
