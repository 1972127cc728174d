"""Train the two face models that travel with the package: the 68 landmarks' network and the portrait segmenter.

    python tools/label_faces.py data/portraits -o labels/portraits          # in its own environment, see there
    python tools/train_faces.py landmarks data/portraits labels/portraits --look first -o first.safetensors
    python tools/train_faces.py landmarks data/portraits labels/portraits --look careful -o careful.safetensors
    python tools/train_faces.py join first.safetensors careful.safetensors -o faces-landmarks.safetensors
    python tools/train_faces.py segmenter data/portraits labels/portraits -o faces-segmenter.safetensors

One portrait in eight is never trained on (`is_held_out`); tests/faces measures both models on those.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from ppgan_apps.errors import DataError, SuiteError
from ppgan_apps.faces.align import LEFT_EYE_OUTER, RIGHT_EYE_OUTER, inverse, rotation, warp
from ppgan_apps.images import find_images, read_image


@dataclass(frozen=True)
class Sample:
    """A labelled picture: uint8 RGB [H, W, 3], landmarks [68, 2], the whole mesh [468, 3] (depth in pixels, growing
    away from the camera), soft mask float32 [H, W]."""

    name: str
    image: np.ndarray
    landmarks: np.ndarray
    mesh: np.ndarray
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
                mask = label["mask"].astype(np.float32)
                samples.append(Sample(name, read_image(path), label["landmarks"], label["mesh"], mask))
    if not samples:
        raise DataError(f"{labels} holds no label for a picture in {pictures}: run tools/label_faces.py first.")
    return samples


# ---------------------------------------------------------------------------------------------------------- landmarks


# LandmarkNet's sizes: the first look at a face needs only its place and angle.
SIZES = {
    "first": {"widths": (16, 32, 48, 64), "depths": (0, 1, 1, 1), "hidden": 96, "side": 64},
    "careful": {"widths": (32, 64, 96, 128), "depths": (0, 2, 3, 1), "hidden": 160, "side": 96},
}


def landmark_loss(guess, points):
    """Distance from the labelled points, in the mean of all; the eye line's angle counts extra. Both [N, 68, 2]."""
    import paddle

    difference = guess - points
    # Near the goal quadratic, then linear: a label that is far off must not pull all others along.
    distance = paddle.sqrt((difference * difference).sum(axis=-1) + 1e-5)  # [N, 68]
    line = difference[:, LEFT_EYE_OUTER] - difference[:, RIGHT_EYE_OUTER]
    truth = points[:, LEFT_EYE_OUTER] - points[:, RIGHT_EYE_OUTER]
    across = (line[:, 1] * truth[:, 0] - line[:, 0] * truth[:, 1]) / (truth * truth).sum(axis=-1)
    eyes = distance[:, 36:48].mean()
    return distance.mean() + 0.5 * eyes + 0.5 * across.abs().mean()


def landmark_batches(everyone: list, side: int, options: argparse.Namespace):
    """Training batches made ahead by a thread: patches [N, 1, side, side] in [-1, 1], points [N, 68, 2]."""
    from landmark_examples import JITTERS, example

    def make(step: int) -> tuple[np.ndarray, np.ndarray]:
        random = np.random.default_rng((options.seed, step))
        pairs = [example(everyone, side, JITTERS[options.look], random) for _ in range(options.batch)]
        patches = np.stack([patch for patch, _ in pairs])[:, None]
        return patches.astype(np.float32) / 127.5 - 1, np.stack([points for _, points in pairs]).astype(np.float32)

    yield from made_ahead(make, options.steps)


def train_landmarks(options: argparse.Namespace) -> None:
    """Fit LandmarkNet to portraits seen from all sides and write float16 safetensors."""
    import paddle
    from landmark_examples import JITTERS, cut_head, example, kept_heads, make_heads

    from ppgan_apps.networks.landmarks import LandmarkNet

    samples = [s for s in read_samples(options.pictures, options.labels) if options.all or not is_held_out(s.name)]
    def draw():
        portraits = [cut_head(sample.image, sample.mesh) for sample in samples]
        return make_heads(portraits, options.copies, np.random.default_rng(options.seed))

    everyone = kept_heads(options.heads, draw) if options.heads else draw()
    paddle.seed(options.seed)
    network = LandmarkNet(**SIZES[options.look])
    random = np.random.default_rng(options.seed)
    shapes = [example(everyone, network.side, JITTERS[options.look], random)[1] for _ in range(100)]
    network.shape.bias.set_value(np.mean(shapes, axis=0).ravel().astype(np.float32))  # from there it learns to differ
    if options.start is not None:
        from ppgan_apps.weights import load_strict, read_weights

        load_strict(network, read_weights(options.start), str(options.start))
    optimizer = paddle.optimizer.AdamW(options.rate, parameters=network.parameters(), weight_decay=0.02)

    def loss_of(patches, points):
        shape, heat = network(patches)
        return landmark_loss(shape, points) + landmark_loss(heat, points)

    train(network, loss_of, optimizer, landmark_batches(everyone, network.side, options), options)


# ---------------------------------------------------------------------------------------------------------- segmenter


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


def dead_leaves(side: int, random: np.random.Generator) -> np.ndarray:
    """Shapes of all sizes that hide one another, more or less out of focus: uint8 RGB [side, side, 3].

    Such pictures have the edge and size statistics of photographs (Lee, Mumford and Huang, IJCV 2001), which the plain
    walls behind the portraits lack.
    """
    import cv2

    picture = np.full((side, side, 3), random.integers(0, 256, 3), np.uint8)
    palette = random.integers(0, 256, (int(random.integers(3, 12)), 3))
    for size in sorted(0.5 * side * random.random(int(random.integers(15, 70))) ** 2.5 + 2, reverse=True):
        colour = np.clip(palette[random.integers(len(palette))] + random.normal(0, 20, 3), 0, 255)
        centre, shape = random.uniform(0, side, 2), size * random.uniform(0.3, 1, 2)
        box = tuple(centre.tolist()), tuple((2 * shape).tolist()), float(random.uniform(0, 180))
        if random.random() < 0.5:
            cv2.ellipse(picture, box, tuple(colour.tolist()), -1, cv2.LINE_AA)
        else:
            cv2.fillPoly(picture, [np.rint(cv2.boxPoints(box)).astype(np.int32)], tuple(colour.tolist()), cv2.LINE_AA)
    if random.random() < 0.6:
        picture = cv2.GaussianBlur(picture, (0, 0), random.uniform(0.5, 6))
    return picture


def recolour(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A person under another light than their background: gamma, gain and tint of uint8 RGB by a table."""
    levels = np.arange(256)[:, None] / 255
    table = levels ** np.exp(random.normal(0, 0.4)) * np.exp(random.normal(0, 0.12, 3) + random.normal(-0.05, 0.2))
    table = (np.clip(table, 0, 1) * 255).astype(np.uint8)
    return np.stack([table[image[..., channel], channel] for channel in range(3)], axis=-1)


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
            person = recolour(person, random)
        choice = random.random()
        if choice < 0.4:
            behind = everyone[random.integers(len(everyone))].background
            extent = int(random.uniform(0.4, 1) * min(behind.shape[:2]))
            top, left = (random.integers(length - extent + 1) for length in behind.shape[:2])
            behind = cv2.resize(
                behind[top : top + extent, left : left + extent], (side, side), interpolation=cv2.INTER_AREA
            )
            behind = degrade(behind[:, ::-1] if random.random() < 0.5 else behind, random)
        elif choice < 0.7:
            behind = dead_leaves(side, random)
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


def segmenter_batches(everyone: list[Layers], options: argparse.Namespace):
    """Training batches made ahead: images [N, 3, s, s] in [-1, 1], masks [N, 1, s, s]."""
    from ppgan_apps.images import to_array

    def make(step: int) -> tuple[np.ndarray, np.ndarray]:
        random = np.random.default_rng((options.seed, step))
        side = 128 if step < options.small_steps else 192
        pairs = [segmenter_example(everyone, side, random) for _ in range(options.batch)]
        return to_array([picture for picture, _ in pairs]), np.stack([mask for _, mask in pairs])[:, None]

    yield from made_ahead(make, options.steps)


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
    optimizer = paddle.optimizer.AdamW(options.rate, parameters=network.parameters(), weight_decay=1e-3)

    def loss_of(images, masks):
        return segmentation_loss(network(images), masks)

    train(network, loss_of, optimizer, segmenter_batches(everyone, options), options)


# ------------------------------------------------------------------------------------------------------------ training


def made_ahead(make, steps: int):
    """What `make(step)` gives for each step, made by a thread while the steps before are worked on."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        coming = [pool.submit(make, step) for step in range(min(3, steps))]
        for step in range(steps):
            yield coming.pop(0).result()
            if step + 3 < steps:
                coming.append(pool.submit(make, step + 3))


def train(network, loss_of, optimizer, batches, options: argparse.Namespace) -> None:
    """Fits `network` for options.steps batches; its running average is written every 200 steps and at the end.

    Beside the weights a log is written, one JSON line for every 50 steps: step, loss (their mean), seconds.
    """
    import paddle

    def rate(step: int) -> float:
        """Linear rise over 100 steps, then half a cosine down to a hundredth."""
        fall = 0.505 + 0.495 * np.cos(np.pi * step / options.steps)
        return options.rate * min((step + 1) / 100, 1.0) * fall

    log = options.output.with_suffix(".jsonl")
    log.parent.mkdir(parents=True, exist_ok=True)
    mean = {name: value.clone() for name, value in network.state_dict().items()}
    started, losses = time.perf_counter(), []
    with log.open("w") as lines:
        for step, batch in enumerate(batches, start=1):
            optimizer.set_lr(rate(step - 1))
            loss = loss_of(*(paddle.to_tensor(array) for array in batch))
            loss.backward()
            optimizer.step()
            optimizer.clear_grad()
            follow(mean, network, min(0.995, step / (step + 10)))
            losses.append(float(loss))
            if step % 50 == 0 or step == options.steps:
                facts = {"step": step, "loss": round(float(np.mean(losses)), 5)}
                facts["seconds"] = round(time.perf_counter() - started)
                print(json.dumps(facts), file=lines, flush=True)
                print(f"step {step}/{options.steps} loss {facts['loss']} {facts['seconds']} s", flush=True)
                losses.clear()
            if step % 200 == 0 or step == options.steps:
                save(network, mean, options.output, step)


def follow(mean: dict, network, keep: float) -> None:
    """Moves `mean`, the running average of the network's state, which errs less than the state of any one step."""
    import paddle

    with paddle.no_grad():
        for name, value in network.state_dict().items():
            mean[name].set_value(keep * mean[name] + (1 - keep) * value)


def save(network, state: dict, path: Path, step: int) -> None:
    """The averaged state as float16 safetensors with what is needed to rebuild the network."""
    from ppgan_apps.weights import save_weights

    metadata = {
        "family": {"LandmarkNet": "landmarks", "PortraitSegmenter": "segmenter"}[type(network).__name__],
        "network": network.arguments,
        "step": step,
        "licence": "Apache-2.0",
        "source": "trained on faker-js portraits (CC0 1.0) with labels of mediapipe 0.10.21 (Apache-2.0)",
    }
    save_weights(path, {name: value.numpy() for name, value in state.items()}, metadata, half=True)


def join_landmarks(options: argparse.Namespace) -> None:
    """Both landmark networks in one file, as the package holds them."""
    from ppgan_apps.faces.landmarks import PARTS
    from ppgan_apps.weights import read_metadata, read_weights, save_weights

    state, metadata = {}, {}
    for part, path in zip(PARTS, (options.first, options.careful)):
        facts = read_metadata(path)
        state |= {f"{part}.{name}": value for name, value in read_weights(path).items()}
        sizes, steps = metadata.get("network", {}), metadata.get("step", {})
        metadata = {**facts, "network": {**sizes, part: facts["network"]}, "step": {**steps, part: facts["step"]}}
    save_weights(options.output, state, metadata, half=True)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    landmarks = commands.add_parser("landmarks", help="the network that places 68 points")
    landmarks.set_defaults(train=train_landmarks)
    landmarks.add_argument("--steps", type=int, default=3000)
    landmarks.add_argument("--batch", type=int, default=32)
    landmarks.add_argument("--rate", type=float, default=2e-3, help="highest learning rate")
    landmarks.add_argument("--look", choices=SIZES, default="careful", help="the small network or the careful one")
    landmarks.add_argument("--heads", type=Path, help="keep the portraits' views in this .npz file, or take them there")
    landmarks.add_argument("--copies", type=int, default=10, help="views of each portrait from other sides")
    segmenter = commands.add_parser("segmenter", help="the portrait segmenter")
    segmenter.set_defaults(train=train_segmenter)
    segmenter.add_argument("--steps", type=int, default=1300)
    segmenter.add_argument("--small-steps", type=int, default=1100, help="first steps at 128 pixels, the others at 192")
    segmenter.add_argument("--batch", type=int, default=12)
    segmenter.add_argument("--rate", type=float, default=4e-3, help="highest learning rate")
    join = commands.add_parser("join", help="both landmark networks in one file")
    join.set_defaults(train=join_landmarks)
    join.add_argument("first", type=Path)
    join.add_argument("careful", type=Path)
    join.add_argument("-o", "--output", type=Path, required=True)
    for command in (landmarks, segmenter):
        command.add_argument("pictures", type=Path, help="folder of portraits")
        command.add_argument("labels", type=Path, help="folder written by tools/label_faces.py")
        command.add_argument("-o", "--output", type=Path, required=True)
        command.add_argument("--start", type=Path, help="go on from this weight file instead of from chance")
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
