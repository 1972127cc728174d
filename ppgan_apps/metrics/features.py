"""Feature spaces: what turns pictures into vectors, between which the metrics measure. Each names itself exactly.

"inception" is the network that FID is defined on, with its published weights. "random-vgg-64" and "random-vgg-128" need
no file: VGG-19's first convolutions with random weights from a fixed seed, the same on every machine. Distances in them
are never called FID and compare only with distances in the same space. docs/metrics.md has the evidence for the choice.
"""
from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import images, zoo
from ..downloads import sha256_of
from ..errors import ConfigError, DataError
from ..weights import load_strict, read_weights
from .resizing import resize_like_tensorflow

DEFAULT = "random-vgg-64"
SPACES = ("inception", "random-vgg-64", "random-vgg-128")
_BATCH = 32


@dataclass(frozen=True)
class Features:
    """The vectors of a set of pictures, float32 [N, D], and the space that they belong to."""

    values: np.ndarray
    space: FeatureSpace

    def __len__(self) -> int:
        return len(self.values)

    def protocol(self, fake: Features, **more) -> dict[str, Any]:
        """What all metrics between these real features and `fake` state: which features, how many pictures.

        Raises DataError when the two are of different spaces.
        """
        if self.space.identity() != fake.space.identity():
            raise DataError(f"Features of {self.space.name} cannot be compared with those of {fake.space.name}.")
        return {**self.space.identity(), "real": len(self), "generated": len(fake), **more}


class FeatureSpace:
    """Pictures to vectors. `name`, `sha256` of the weights and `resizer` identify it; `is_inception` permits FID."""

    name: str
    sha256: str
    size: int                           # side of the pictures that the network sees
    resizer: str
    is_inception = False

    def identity(self) -> dict[str, Any]:
        """What a result says about its features."""
        return {"features": self.name, "sha256": self.sha256, "resizer": self.resizer, "input_size": self.size}

    def resize(self, picture: np.ndarray) -> np.ndarray:
        """A picture [H, W, 3], uint8 or float from 0 to 255, as float32 [size, size, 3]."""
        raise TypeError(f"{type(self).__name__} does not say how it resizes.")

    def compute(self, pictures: np.ndarray) -> np.ndarray:
        """Resized pictures, float32 [N, size, size, 3] from 0 to 255, to features [N, D]."""
        raise TypeError(f"{type(self).__name__} does not say what it computes.")

    def of(self, pictures: Iterable[np.ndarray]) -> np.ndarray:
        """The features float32 [N, D] of pictures [H, W, 3] of any size, uint8 or float from 0 to 255."""
        return self.compute(np.stack([self.resize(picture) for picture in pictures]))

    def extract(self, pictures: Iterable[np.ndarray], about: str = "features", total: int | None = None) -> Features:
        """The features of as many pictures as there are, in batches, with a progress bar called `about`.

        Raises DataError when there are fewer than two: a set has no spread then.
        """
        from tqdm import tqdm
        found, batch = [], []
        with tqdm(pictures, about, total, unit="picture", file=sys.stderr, disable=None, leave=False) as bar:
            for picture in bar:
                batch.append(self.resize(picture))
                if len(batch) == _BATCH:
                    found.append(self.compute(np.stack(batch)))
                    batch = []
        if batch:
            found.append(self.compute(np.stack(batch)))
        values = np.concatenate(found) if found else np.zeros((0, 1), np.float32)
        if len(values) < 2:
            raise DataError(f"A distance needs two pictures or more on each side, and {about} has {len(values)}.")
        return Features(values, self)


def open_space(name: str = DEFAULT) -> FeatureSpace:
    """The feature space that `name` names: one of `SPACES`, or a file with Inception's weights.

    Raises ConfigError for another name, WeightsError when the weights cannot be had or do not fit.
    """
    if name == "inception":
        return InceptionSpace(zoo.get("inception").path())
    if name in SPACES:
        return RandomVGGSpace(int(name.rpartition("-")[2]))
    if Path(name).is_file():
        return InceptionSpace(Path(name))
    raise ConfigError(f"There are no features '{name}': use {', '.join(SPACES)}, or a file of Inception's weights.")


class InceptionSpace(FeatureSpace):
    """The 2,048 numbers of Inception's last pool, with torch-fidelity's resizing: TensorFlow 1's, as in the FID paper.

    Only with the published file, known by its sha256, is a distance in it called FID.
    """

    size = 299
    resizer = "bilinear as in TensorFlow 1 (no antialiasing, corners not aligned)"

    def __init__(self, path: Path):
        from ..networks.inception import InceptionV3
        network = InceptionV3()
        load_strict(network, read_weights(path), str(path))
        network.eval()
        self._network = network
        self.sha256 = sha256_of(path)
        self.is_inception = self.sha256 == zoo.get("inception").sha256
        self.name = "inception-v3-2015-12-05 pool, 2048" if self.is_inception else f"Inception-v3 pool of {path.name}"

    def resize(self, picture):
        return resize_like_tensorflow(picture, self.size)

    def compute(self, pictures):
        return _run(self._network, (pictures.transpose(0, 3, 1, 2) - 128) / 128)


class RandomVGGSpace(FeatureSpace):
    """Means of VGG-19's first convolutions over the picture's four quarters, with random weights: 960 numbers.

    The quarters keep where something is, so a face whose parts are out of place is far from one that is whole.
    """

    resizer = "averaged when shrinking, bicubic when growing (OpenCV)"
    _WIDTH, _TAPS, _SEED = 16, ("conv1_2", "conv2_2", "conv3_2", "conv4_1"), 0

    def __init__(self, size: int):
        from ..networks.vgg import VGG19
        self._network = VGG19(self._TAPS, before_activation=False, width=self._WIDTH, seed=self._SEED)
        self.size, self.name = size, f"random-vgg-{size}"
        digest = hashlib.sha256()
        for name, entry in sorted(self._network.state_dict().items()):
            digest.update(name.encode() + np.ascontiguousarray(entry.numpy(), "<f4").tobytes())
        self.sha256 = digest.hexdigest()

    def resize(self, picture):
        return images.resize(np.asarray(picture, np.float32), (self.size, self.size))

    def compute(self, pictures):
        return _run(self._quarters, images.to_array(pictures))

    def _quarters(self, pictures):
        """[N, 3, size, size] in [-1, 1] to [N, 960]."""
        import paddle
        maps = self._network(pictures).values()
        means = [quarter_means(entry) for entry in maps]
        return paddle.concat(means, 1)


def quarter_means(maps):
    """[N, C, H, W] with even sides to the means of its four quarters, [N, 4 C]."""
    count, channels, height, width = maps.shape
    return maps.reshape([count, channels, 2, height // 2, 2, width // 2]).mean([3, 5]).reshape([count, 4 * channels])


def _run(network, array: np.ndarray) -> np.ndarray:
    import paddle
    with paddle.no_grad():
        return network(paddle.to_tensor(np.ascontiguousarray(array, np.float32))).numpy()
