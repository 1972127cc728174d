"""Training patches for LandmarkNet: portraits turned in space, in the plane and in the light, and partly hidden.

`make_heads` draws each portrait from several sides once (tools/turn_heads.py); `example` then cuts a patch out of one
of them as the detector's box would, differently every time.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from turn_heads import Head, mixed_mesh, turned_head

from ppgan_apps.faces.align import MIRRORED, eye_line_angle, rotation, transform, warp
from ppgan_apps.faces.detect import box_of_landmarks
from ppgan_apps.faces.landmarks import CONTEXT
from ppgan_apps.images import replacing

# Heads are kept as grey squares of HEAD pixels in which the face's box has BOX pixels.
HEAD, BOX = 256, 112.0


def cut_head(image: np.ndarray, mesh: np.ndarray) -> Head:
    """The surroundings of a face, mesh [468, 3] in uint8 RGB [H, W, 3], at the size at which heads are kept."""
    from label_faces import MESH_VERTICES

    centre, width = box_of_landmarks(mesh[MESH_VERTICES, :2])
    scale = BOX / width
    matrix = np.array([[scale, 0, HEAD / 2 - scale * centre[0]], [0, scale, HEAD / 2 - scale * centre[1]]])
    grey = cv2.cvtColor(warp(image, matrix, HEAD, border=None), cv2.COLOR_RGB2GRAY)
    moved = np.concatenate([transform(mesh[:, :2], matrix), scale * mesh[:, 2:]], axis=1)
    return Head(grey, moved.astype(np.float32))


def make_heads(portraits: list[Head], copies: int, random: np.random.Generator) -> list[list[Head]]:
    """For each portrait itself and `copies` of it turned to all sides, half of them with a share of another's shape."""
    from tqdm import tqdm

    everyone = []
    for head in tqdm(portraits, desc="turning heads", unit="portrait"):
        views = [head]
        for copy in range(copies):
            yaw = float(np.clip(random.normal(0, 22), -45, 45))
            nod = float(np.clip(random.normal(0, 11), -28, 28))
            other = portraits[random.integers(len(portraits))]
            mesh = mixed_mesh(head.mesh, other.mesh, random.uniform(0.2, 0.9)) if copy % 2 else None
            views.append(turned_head(head, yaw, nod, mesh))
        everyone.append(views)
    return everyone


def kept_heads(path: Path, make) -> list[list[Head]]:
    """The views that an earlier training left at `path`, else those of `make()`, which are left there."""
    if path.is_file():
        with np.load(path) as kept:
            images, meshes, counts = kept["images"], kept["meshes"], kept["counts"]
    else:
        everyone = make()
        counts = np.array([len(views) for views in everyone])
        images = np.stack([view.image for views in everyone for view in views])
        meshes = np.stack([view.mesh for views in everyone for view in views])
        with replacing(path) as part, part.open("wb") as file:
            np.savez(file, images=images, meshes=meshes, counts=counts)
    heads = [Head(image, mesh) for image, mesh in zip(images, meshes)]
    ends = np.cumsum(counts)
    return [heads[end - count : end] for end, count in zip(ends, counts)]


@dataclass(frozen=True)
class Jitter:
    """How far off the box is from which a network looks, as standard deviations: the turn of its middle look in degrees
    (and the share of looks with any turn up to 45 degrees), shift in box sides, log of scale.
    """

    turn: float
    any_turn: float
    shift: float
    scale: float


# The first look is from the detector's box; the careful one from the box and angle that the first answer implies.
JITTERS = {"first": Jitter(8, 0.6, 0.07, 0.10), "careful": Jitter(6, 0.0, 0.035, 0.06)}


def example(everyone: list[list[Head]], side: int, jitter: Jitter, random: np.random.Generator, plain: float = 0.25):
    """One training patch: grey uint8 [side, side] and its 68 points [68, 2] in half sides from the middle.

    plain: share of portraits as they are, not turned in space.
    """
    views = everyone[random.integers(len(everyone))]
    head = views[0 if random.random() < plain else random.integers(len(views))]
    centre, width = box_of_landmarks(head.landmarks)
    level = eye_line_angle(head.landmarks)
    angle = random.uniform(-45, 45) if random.random() < jitter.any_turn else random.normal(0, jitter.turn)
    scale = side / (CONTEXT * width) * np.exp(random.normal(0, jitter.scale))
    stretch = np.exp(random.normal(0, 0.04))
    linear = scale * (rotation(angle) @ np.diag([stretch, 1 / stretch]) @ rotation(level))
    mirror = random.random() < 0.5
    if mirror:
        linear = np.diag([-1.0, 1.0]) @ linear
    middle = side / 2 + random.normal(0, jitter.shift, 2) * side / CONTEXT
    matrix = np.concatenate([linear, (middle - linear @ centre)[:, None]], axis=1)
    points = transform(head.landmarks, matrix)
    patch = warp(head.image, matrix, side, border=None)
    if random.random() < 0.07:  # the picture ends here
        patch = cut_off(patch, random)
    if random.random() < 0.4:
        depth = scale * head.mesh[:, 2:]
        patch = relight(patch, np.concatenate([transform(head.mesh[:, :2], matrix), depth], axis=1), random)
    patch = degrade_grey(wear(patch, points, random), random)
    if mirror:
        points = points[MIRRORED]
    return patch, (points + 0.5) * 2 / side - 1


def relight(patch: np.ndarray, mesh: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A grey patch under another lamp: the face, mesh [468, 3] in its pixels, is bright where it looks towards the lamp
    and dark elsewhere (Lambert's law). The portraits are lit from the front; in photographs half a face is often dark.
    """
    side = len(patch)
    columns, rows = np.rint(mesh[:, :2]).astype(int).T
    here = (columns >= 0) & (columns < side) & (rows >= 0) & (rows < side)
    known, depth = np.zeros((2, side, side), np.float32)
    np.add.at(known, (rows[here], columns[here]), 1)
    np.add.at(depth, (rows[here], columns[here]), mesh[here, 2])
    width = 0.035 * side                                       # about the distance of two vertices
    known, depth = (cv2.GaussianBlur(values, (0, 0), width) for values in (known, depth))
    depth /= known + 1e-4
    down, right = np.gradient(cv2.GaussianBlur(depth, (0, 0), width / 2))
    normals = np.stack([right, down, -np.ones_like(depth)])    # z grows away from the camera
    normals /= np.linalg.norm(normals, axis=0)
    azimuth, height = random.uniform(-1, 1) * np.pi, random.uniform(20, 85) * np.pi / 180
    lamp = np.array([np.sin(height) * np.cos(azimuth), np.sin(height) * np.sin(azimuth), -np.cos(height)])
    ambient = random.uniform(0.1, 0.7)
    shade = ambient + (1 - ambient) * np.clip(np.tensordot(lamp, normals, 1), 0, None) * random.uniform(1, 1.8)
    face = np.clip(cv2.GaussianBlur(known, (0, 0), width) * 60, 0, 1)
    around = random.uniform(ambient, 1.1)
    return np.clip(patch * (face * shade + (1 - face) * around), 0, 255).astype(np.uint8)


def cut_off(patch: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A patch whose picture ends at one side, grey or white beyond, as the detector meets it at a picture's border."""
    patch = np.rot90(patch, turns := int(random.integers(4))).copy()
    patch[: int(random.uniform(0.02, 0.25) * len(patch))] = random.choice([128, 255])
    return np.ascontiguousarray(np.rot90(patch, -turns))


def degrade_grey(patch: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A photograph's misfortunes on grey uint8 [side, side]: exposure, contrast, light from one side, blur, low
    resolution, noise, JPEG.
    """
    side = len(patch)
    levels = np.arange(256) / 255
    levels = levels ** np.exp(random.normal(0, 0.3))
    if random.random() < 0.15:
        levels = levels * random.uniform(0.25, 1.0)
    levels = (levels - 0.5) * np.exp(random.normal(0, 0.2)) + 0.5 + random.normal(0, 0.07)
    values = levels.astype(np.float32)[patch]
    if random.random() < 0.4:
        direction, strength = random.normal(0, 1, 2), random.uniform(0, 0.7)
        ramp = np.linspace(-1, 1, side, dtype=np.float32)
        light = direction[0] * ramp[:, None] + direction[1] * ramp[None] + random.normal(0, 0.5)
        # A shadow with an edge, or a gentle change.
        light = np.tanh(light * 8) if random.random() < 0.3 else light
        values *= 1 + strength * light.astype(np.float32)
    if random.random() < 0.3:
        values = cv2.GaussianBlur(values, (0, 0), random.uniform(0.4, 2.0))
    if random.random() < 0.2:
        factor = random.uniform(0.2, 0.8)
        small = cv2.resize(values, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        values = cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR)
    if random.random() < 0.35:
        values = values + random.normal(0, random.uniform(0.01, 0.07), values.shape).astype(np.float32)
    output = (np.clip(values, 0, 1) * 255).astype(np.uint8)
    if random.random() < 0.2:
        coded = cv2.imencode(".jpg", output, [cv2.IMWRITE_JPEG_QUALITY, int(random.uniform(15, 80))])[1]
        output = cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE)
    return output


def wear(patch: np.ndarray, points: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Glasses, sunglasses, hair over the face, a hat's brim, a hand or a cup drawn on a grey patch: photographs have
    them, the portraits few.
    """
    if random.random() < 0.3:
        patch = wear_glasses(patch, points, random)
    if random.random() < 0.15:
        patch = wear_hair(patch, points, random)
    if random.random() < 0.08:
        patch = hide_a_part(patch, points, random)
    return patch


def wear_glasses(patch: np.ndarray, points: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Clear or dark glasses; some dark ones mirror the sky or a street."""
    eyes = np.array([points[36:42].mean(axis=0), points[42:48].mean(axis=0)])
    across = eyes[1] - eyes[0]
    span = float(np.linalg.norm(points[45] - points[36]))
    down = np.array([-across[1], across[0]]) / max(np.linalg.norm(across), 1e-6)
    if down @ (points[8] - points[27]) < 0:
        down = -down
    angle = float(np.degrees(np.arctan2(across[1], across[0])))
    dark = random.random() < 0.6
    shade = int(random.integers(0, 70 if dark or random.random() < 0.7 else 256))
    # Half width and half height of a lens; seen from the side the lenses are narrower, as the eyes' distance is.
    size = np.array([random.uniform(0.42, 0.62) * np.linalg.norm(across), random.uniform(0.14, 0.34) * span])
    eyes = eyes + random.uniform(-0.04, 0.1) * span * down + random.uniform(-0.04, 0.04) * across
    thickness = max(1, round(0.02 * span * random.uniform(0.6, 3)))
    drawn, lenses = patch.copy(), np.zeros_like(patch)
    square = random.random() < 0.5
    for eye in eyes:
        box = tuple(eye.tolist()), tuple((2 * size * (0.8 if square else 0.95)).tolist()), angle
        if square:
            corners = [np.rint(cv2.boxPoints(box)).astype(np.int32)]
            cv2.fillPoly(lenses, corners, 255)
            cv2.polylines(drawn, corners, True, shade, thickness, cv2.LINE_AA)
        else:
            cv2.ellipse(lenses, box, 255, -1)
            cv2.ellipse(drawn, box, shade, thickness, cv2.LINE_AA)
    bridge = eyes - down * random.uniform(0, 0.08) * span
    ends = bridge + across * np.array([[-0.6], [0.6]])
    cv2.line(drawn, *(tuple(np.rint(end).astype(int).tolist()) for end in bridge), shade, thickness, cv2.LINE_AA)
    if random.random() < 0.5:
        cv2.line(drawn, *(tuple(np.rint(end).astype(int).tolist()) for end in ends), shade, thickness, cv2.LINE_AA)
    if dark:
        inside = lenses > 0
        tone = random.uniform(0, 90) + np.zeros(patch.shape)
        if random.random() < 0.5:
            cells = int(random.integers(2, 9))
            sky = cv2.resize(random.integers(0, 256, (cells, cells), np.uint8), patch.shape[::-1], interpolation=3)
            tone = np.clip(tone + random.uniform(0.4, 1) * sky, 0, 255)
        strength = random.uniform(0.7, 1)
        drawn[inside] = (strength * tone + (1 - strength) * patch)[inside].astype(np.uint8)
    return drawn


def wear_hair(patch: np.ndarray, points: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Strands that fall from above the forehead over one side of the face, often over an eye; or a brim or fringe."""
    span = float(np.linalg.norm(points[45] - points[36]))
    forehead = points[27] + 0.9 * (points[27] - points[33])
    drawn = np.ascontiguousarray(patch)
    shade = random.uniform(0, 140)
    if random.random() < 0.5:  # a brim or a fringe
        low = points[17:27].mean(axis=0) + random.uniform(-0.5, 0.3) * (points[33] - points[27])
        across = points[26] - points[17]
        up = points[27] - points[33]
        corners = np.array([low - 1.3 * across, low + 1.3 * across, low + 1.3 * across + 2 * up,
                            low - 1.3 * across + 2 * up])
        shape = np.zeros_like(patch)
        cv2.fillPoly(shape, [np.rint(corners).astype(np.int32)], 255, cv2.LINE_AA)
        texture = np.clip(shade + random.normal(0, 20, patch.shape), 0, 255)
        share = shape / 255.0
        return (patch * (1 - share) + texture * share).astype(np.uint8)
    temple, jaw = (points[17], points[3]) if random.random() < 0.5 else (points[26], points[13])
    root = forehead + random.uniform(-0.2, 0.6) * (temple - forehead)
    for _ in range(int(random.integers(3, 28))):
        start, end = root + random.normal(0, 0.12 * span, 2), jaw + random.normal(0, 0.2 * span, 2)
        bend = (start + end) / 2 + random.normal(0, 0.2 * span, 2)
        steps = np.linspace(0, 1, 8)[:, None]
        curve = (1 - steps) ** 2 * start + 2 * steps * (1 - steps) * bend + steps**2 * end
        tone = float(np.clip(shade + random.normal(0, 15), 0, 255))
        width = max(1, round(random.uniform(0.01, 0.06) * span))
        cv2.polylines(drawn, [np.rint(curve).astype(np.int32)], False, tone, width, cv2.LINE_AA)
    return drawn


def hide_a_part(patch: np.ndarray, points: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A block, a blob or a piece of the picture itself in front of some part of the face."""
    span = float(np.linalg.norm(points[45] - points[36]))
    centre = points[random.integers(68)] + random.normal(0, 0.3 * span, 2)
    size = random.uniform(0.25, 0.9, 2) * span
    drawn, shape = np.ascontiguousarray(patch), np.zeros_like(patch)
    box = tuple(centre.tolist()), tuple(size.tolist()), float(random.uniform(0, 180))
    if random.random() < 0.5:
        cv2.ellipse(shape, box, 255, -1, cv2.LINE_AA)
    else:
        cv2.fillPoly(shape, [np.rint(cv2.boxPoints(box)).astype(np.int32)], 255, cv2.LINE_AA)
    shift = tuple(int(v) for v in random.integers(-len(patch) // 2, len(patch) // 2, 2))
    filling = np.roll(patch, shift, (0, 1)) if random.random() < 0.5 else np.full_like(patch, random.integers(256))
    share = shape / 255.0
    return (drawn * (1 - share) + filling * share).astype(np.uint8)
