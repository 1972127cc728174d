"""Train the forest that places 68 landmarks: dlib's shape predictor (Kazemi and Sullivan, CVPR 2014).

    python tools/label_faces.py data/portraits -o labels/portraits          # in its own environment, see there
    python tools/train_forest.py data/portraits labels/portraits -o faces-landmarks.dat

Trains on the same portraits as tools/train_faces.py, whose networks' answers are averaged with the forest's.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import numpy as np
from label_faces import MESH_VERTICES
from train_faces import Sample, degrade, is_held_out, read_samples

from ppgan_apps.errors import SuiteError
from ppgan_apps.faces.align import MIRRORED, rotation, transform, warp
from ppgan_apps.faces.landmarks import FACE, PATCH, box_of_landmarks


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
            depth = sample.mesh[MESH_VERTICES, 2] * abs(np.linalg.det(linear)) ** 0.5
            depth = depth[MIRRORED] if mirror else depth
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


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", type=Path, help="folder of portraits")
    parser.add_argument("labels", type=Path, help="folder written by tools/label_faces.py")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--copies", type=int, default=40, help="augmented patches per portrait")
    parser.add_argument("--cascade", type=int, default=12)
    parser.add_argument("--trees", type=int, default=36, help="trees per cascade level")
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--nu", type=float, default=0.2, help="shrinkage of each tree's answer")
    parser.add_argument("--padding", type=float, default=0.25, help="margin in which pixels are compared")
    parser.add_argument("--oversampling", type=int, default=3, help="first guesses per patch")
    parser.add_argument("--turned", type=float, default=0.3, help="share of patches with the head turned in space")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--all", action="store_true", help="train on the held-out portraits as well")
    options = parser.parse_args(arguments)
    try:
        train_landmarks(options)
    except SuiteError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
