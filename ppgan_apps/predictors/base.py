"""What predictors share: choosing weights, building the network that fits them, reading and checking pictures."""
from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from .. import engines, images, runtime, weights, zoo
from ..errors import ConfigError, ExportError, ImageError, MissingExtra, OutputError, WeightsError
from . import strips

# Below this a picture holds nothing to draw from, and a reflected border of up to a network's stride does not exist.
MINIMUM_SIDE = 16
# One picture at a time is as fast on a CPU, takes less memory and makes a result independent of its neighbours.
BATCH = {"cpu": 1, "gpu": 8}


@dataclass(frozen=True)
class ChosenWeights:
    """The weights behind a predictor's pictures: where they came from and how their network is built."""
    name: str                                                  # "animeganv2/hayao", or the path that was given
    path: Path
    licence: str
    family: str = ""                                           # as the file states it; "" when it does not
    part: str = ""                                             # sub-dictionary holding the network, e.g. "netG"
    layout: str = ""                                           # of another project's file: see weights.Pretrained
    network: Mapping[str, Any] = field(default_factory=dict)   # constructor arguments
    metadata: Mapping[str, Any] = field(default_factory=dict)
    size: int | None = None                                    # the side that the network is fed, where it has one
    crop: str = ""                                             # "face": it is fed upright faces
    brightness: str = ""                                       # "own": see weights.ImageSpec
    source: str = ""

    def __str__(self) -> str:
        return f"weights: {self.name}, licence: {self.licence}" + (f" ({self.source})" if self.source else "")


class Predictor:
    """A network with weights, ready to run.

    Weights are chosen in this order: `weight_path` (a weight file, a checkpoint folder, a run folder, or an exported
    network: an ONNX file or a Paddle program, which brings its own runtime); `style` (a
    record of the zoo, "hayao" or "animeganv2/hayao", or "embedded"), downloaded where needed; else the published
    weights when they are cached or can be had within a few seconds; else those embedded in the package. One line on
    stderr says which were chosen and under which licence.

    `device` is "auto", "cpu", "gpu" or "gpu:N". `engine` is what runs the network, "paddle", "onnx" (ONNX Runtime) or
    "openvino"; "auto" takes what PPGAN_APPS_ENGINE says, else Paddle on a GPU and on a processor the fastest of those
    installed, which is measured when a network is first used (engine_speed.py). Raises WeightsError when weights are
    missing or made for another network, SuiteError for a device that is not there or an engine that cannot run the
    network.
    """

    zoo_folder: ClassVar[str]                                  # the first half of the names of its zoo records
    public: ClassVar[str | None] = None                        # the zoo's name of the published weights, if any
    # "module:class" below networks/. The first is the predictor's own; the others are tried for a weight file whose
    # stated arguments fit them, since a family may be trained with another's generator.
    networks: ClassVar[tuple[str, ...]]
    # Whether parts of the network are used too, not only its result; `network` is then built when it is asked for.
    layers_needed: ClassVar[bool] = False

    def __init__(self, output_path: str | Path = "output", weight_path: str | Path | None = None,
                 style: str | None = None, device: str = "auto", arguments: Mapping[str, Any] | None = None,
                 engine: str = "auto"):
        self.output_path = Path(output_path)
        engines.stated(engine)                                 # a wrong name should cost no time
        self.device = runtime.device(device)
        # The network in another engine than Paddle, where one runs it.
        self.accelerated: engines.ExportedNetwork | None = None
        if weight_path is not None and self._is_for_an_engine(weight_path):
            self.network = engines.open_network(weight_path, self.device)
            self.weights = _from_exported(weight_path, self.network)
            self._check_exported()
        else:
            self.weights = self._choose_weights(weight_path, style)
            # `arguments` is the caller's guess for a file that does not say how its network is built.
            arguments = self.weights.network or arguments or {}
            found = self._find_accelerated(engine, arguments)
            if found:
                self._take(found)
            else:
                self.network = self._load_network(arguments)
        self.engine = self._choose_engine(engine, arguments)
        if self.engine == engines.PADDLE and self.device == "cpu" and not self.is_exported:
            strips.convolve_in_strips(self.network)
        say(f"{self.weights}, engine: {self.engine}")

    def _choose_weights(self, weight_path: str | Path | None, style: str | None) -> ChosenWeights:
        if weight_path is not None:
            return _from_path(weight_path, zoo.get(self.public).part if self.public else "")
        if style is not None:
            return _from_record(zoo.get(style if "/" in style else f"{self.zoo_folder}/{style}"))
        embedded = zoo.get(f"{self.zoo_folder}/embedded")
        return _from_record(weights.choose(zoo.get(self.public), embedded) if self.public else embedded)

    def _load_network(self, arguments: Mapping[str, Any]):
        """The network, filled and ready: the first that takes the arguments and whose entries are the file's."""
        state = weights.read_weights(self.weights.path, self.weights.part, self.weights.layout)
        errors = []
        for entry in self.networks if self.weights.network else self.networks[:1]:
            module, _, name = entry.partition(":")
            build = getattr(import_module(f"..networks.{module}", __package__), name)
            if not set(arguments) <= set(inspect.signature(build).parameters):
                continue
            try:
                network = weights.load_strict(weights.build(build, arguments, state), state,
                                              source=self.weights.name)
            except WeightsError as error:
                errors.append(error)
            except (TypeError, ValueError) as error:
                errors.append(self._misfit(f"({error})"))
            else:
                network.eval()
                return network
        raise errors[0] if errors else self._misfit(f"with {', '.join(sorted(arguments))}")

    def _find_accelerated(self, engine: str, arguments: Mapping[str, Any]) -> engines.ExportedNetwork | None:
        """The network in the fastest engine, where an earlier predictor left it: then Paddle is not even imported."""
        chosen = engines.choose(engine, self.device)
        if chosen == [engines.PADDLE] or self.weights.path.suffix.lower() == ".onnx":
            return None
        from .. import engine_cache, engine_speed
        key = self._key(arguments)
        ranking = engine_speed.known(key, chosen) if len(chosen) > 1 else chosen
        return engine_cache.find(key, ranking[0]) if ranking and ranking[0] != engines.PADDLE else None

    def _take(self, found: engines.ExportedNetwork) -> None:
        """Draws with `found` from now on; a Layer that was built to write it is given back."""
        self.accelerated = found
        if not self.layers_needed:
            self.network = found

    def _key(self, arguments: Mapping[str, Any]) -> str:
        """What the exported network is known by."""
        from .. import engine_cache
        return engine_cache.file_key(self.weights.path, self.weights.part, self.weights.layout, dict(arguments),
                                     self.networks if self.weights.network else self.networks[:1])

    def _choose_engine(self, engine: str, arguments: Mapping[str, Any]) -> str:
        """What runs the network: "paddle", "onnx" or "openvino". One that was named and cannot is an error; one that
        was not is left out, and a line says so."""
        brought = engines.brought_by(self.accelerated or self.network)
        if brought:                                            # the weights are an exported network
            if engine not in ("auto", brought):
                raise ConfigError(f"{self.weights.name} is run by the engine {brought}, not by {engine}: leave the "
                                  "engine out.")
            return brought
        chosen = engines.choose(engine, self.device)
        if chosen == [engines.PADDLE]:
            return engines.PADDLE
        from .. import engine_cache, engine_speed
        key = self._key(arguments)
        for name in engine_speed.by_speed(self.network, chosen, key) if len(chosen) > 1 else chosen:
            if name == engines.PADDLE:
                break
            try:
                self._take(engine_cache.accelerated(self.network, name, key))
            except (ExportError, MissingExtra, OutputError, WeightsError) as error:
                if name == chosen[-1]:                         # it was asked for
                    raise
                say(f"The engine {name} is left out: {error}")
                continue
            return name
        return engines.PADDLE

    def _misfit(self, reason: str) -> WeightsError:
        family = f" of the family '{self.weights.family}'" if self.weights.family else ""
        return WeightsError(f"{self.weights.name} describes a network{family} {reason} that {type(self).__name__} "
                            "cannot use: give it weights that were made for it.")

    def _is_for_an_engine(self, weight_path: str | Path) -> bool:
        return engines.is_exported(weight_path)

    @property
    def is_exported(self) -> bool:
        """Whether the network is an ONNX file or a Paddle program, not a Layer."""
        return isinstance(self.network, engines.ExportedNetwork)

    def _check_exported(self) -> None:
        """Raises WeightsError for an exported network that is of another predictor."""
        self._check_class(self.network.about)

    def _check_class(self, about: Mapping[str, Any]) -> None:
        name = about.get("class")
        if name and name not in {entry.partition(":")[2] for entry in self.networks}:
            raise self._misfit(f"({name})")

    def _run_network(self, array: np.ndarray) -> np.ndarray:
        """float32 [N, 3, H, W] in [-1, 1] through the network. Of several outputs the first."""
        if getattr(self.network, "takes_arrays", False):       # of another runtime than Paddle
            return self.network(array)
        exported = self.accelerated or (self.network if self.is_exported else None)
        if exported:
            step = self._batch
            return np.concatenate([exported(np.ascontiguousarray(array[start:start + step]))[0]
                                   for start in range(0, len(array), step)])

        def first_output(tensor):
            output = self.network(tensor)
            return output[0] if isinstance(output, (tuple, list)) else output
        return self._batched(first_output, array)

    @property
    def _batch(self) -> int:
        return BATCH["gpu" if self.device.startswith("gpu") else "cpu"]

    def _batched(self, function, array: np.ndarray) -> np.ndarray:
        """`function` of tensors over `array`, a few rows at a time, without gradients; float32."""
        import paddle
        step = self._batch
        with paddle.no_grad():
            return np.concatenate([function(paddle.to_tensor(np.ascontiguousarray(array[start:start + step])))
                                   .astype("float32").numpy() for start in range(0, len(array), step)])


class ImagePredictor(Predictor):
    """A predictor that turns a picture into a picture."""

    kind: ClassVar[str]                                        # what its results are, as part of a file's name

    def _is_for_an_engine(self, weight_path: str | Path) -> bool:
        """Of ONNX files any network from picture to picture will do, not only this suite's own: see onnx_network."""
        return Path(weight_path).suffix.lower() != ".onnx" and super()._is_for_an_engine(weight_path)

    def _load_network(self, arguments: Mapping[str, Any]):
        """As every predictor's, or the network of an ONNX file, which says itself how it is built."""
        if self.weights.path.suffix.lower() != ".onnx":
            return super()._load_network(arguments)
        from .onnx_network import PictureNetwork
        network = PictureNetwork(self.weights.path, self.device)
        self._check_class(network.about)
        about = network.about
        self.weights = replace(self.weights, licence=network.licence or self.weights.licence, metadata=about,
                               size=network.size[0] if network.size else _size_of(about), crop=_crop_of(about))
        return network

    def predict(self, image: np.ndarray) -> np.ndarray:
        """uint8 RGB [H, W, 3] in, uint8 RGB out; touches no file. Raises ImageError for what it cannot use."""
        raise TypeError(f"{type(self).__name__} does not say how it predicts.")

    def predict_batch(self, batch: Sequence[np.ndarray]) -> list[np.ndarray]:
        """`predict` of each picture; they may differ in size. Raises ImageError naming the picture it cannot use."""
        results = []
        for index, image in enumerate(batch):
            try:
                results.append(self.predict(image))
            except ImageError as error:
                raise type(error)(f"Picture {index} of the batch: {error}") from error
        return results

    def opened(self, path: str | Path) -> np.ndarray:
        """The picture in a file as `predict_all` takes it, with what of its work can be done while another is drawn.
        Raises ImageError."""
        return read(path)

    def predict_all(self, image: np.ndarray) -> list[np.ndarray]:
        """Every result that this picture gives: one, except where each face makes its own."""
        return [self.predict(image)]

    def run(self, image: str | Path | np.ndarray) -> np.ndarray:
        """Reads (unless given an array), predicts, writes into `output_path` and returns the result, uint8 RGB.

        Raises ImageError for a picture that cannot be used, OutputError for a folder that cannot be written.
        """
        raise TypeError(f"{type(self).__name__} does not say what it writes.")

    def _write(self, **pictures: np.ndarray) -> None:
        """Writes each picture as <name>.png; PaddleGAN's predictors overwrite what an earlier run left, so these do."""
        for name, picture in pictures.items():
            images.write_image(self.output_path / f"{name}.png", picture)
        last = list(pictures)[-1]
        print(f"{self.output_path / last}.png is written.")


def read(image: str | Path | np.ndarray) -> np.ndarray:
    """The picture as uint8 RGB [H, W, 3], from a file or from an array of that kind. Raises ImageError."""
    return checked(image if isinstance(image, np.ndarray) else images.read_image(image), image)


def checked(image: np.ndarray, source: str | Path | np.ndarray | None = None) -> np.ndarray:
    """`image` when it is uint8 RGB [H, W, 3] with sides of at least 16 pixels, else ImageError. A path as `source` is
    named in the message."""
    name = f"{source} " if isinstance(source, (str, Path)) else "The picture "
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        what = f"{image.dtype} {list(image.shape)}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ImageError(f"{name}is {what}: give uint8 RGB of shape [height, width, 3].")
    height, width = image.shape[:2]
    if min(height, width) < MINIMUM_SIDE:
        raise ImageError(f"{name}has {width}x{height} pixels, fewer than {MINIMUM_SIDE} on a side: use a larger one.")
    return image


def say(message: str) -> None:
    """One line for the person at the terminal; results go to stdout, notices to stderr."""
    print(message, file=sys.stderr)


def _from_path(weight_path: str | Path, part: str) -> ChosenWeights:
    path = weights.resolve(weight_path)
    metadata = weights.read_metadata(path)
    licence = str(metadata.get("licence") or "not stated in the file")
    return ChosenWeights(name=str(weight_path), path=path, licence=licence, part=part,
                         family=metadata.get("family", ""), network=metadata.get("network") or {},
                         metadata=metadata, size=_size_of(metadata), crop=_crop_of(metadata))


def _from_exported(weight_path: str | Path, network: engines.ExportedNetwork) -> ChosenWeights:
    about = network.about
    sides = [side for side in next(iter(network.inputs.values()), [])[2:] if isinstance(side, int) and side > 0]
    return ChosenWeights(name=str(weight_path), path=network.path,
                         licence=str(about.get("licence") or "not stated in the file"), family=about.get("family", ""),
                         network=network.arguments, metadata=about, size=sides[0] if sides else _size_of(about))


def _from_record(record: weights.Pretrained) -> ChosenWeights:
    path = record.path()
    metadata = weights.read_metadata(path)
    return ChosenWeights(name=record.name, path=path, licence=record.licence, family=metadata.get("family", ""),
                         part=record.part, layout=record.layout,
                         network={**record.network, **(metadata.get("network") or {})}, metadata=metadata,
                         size=_size_of(metadata) or record.input.size, crop=_crop_of(metadata) or record.input.crop,
                         brightness=record.input.brightness, source=record.source)


def _size_of(metadata: Mapping[str, Any]) -> int | None:
    """The side that the network was trained at, where a weight file says so."""
    network, given = metadata.get("network") or {}, metadata.get("input") or {}
    size = given.get("size") or network.get("img_size")
    return int(size) if size else None


def _crop_of(metadata: Mapping[str, Any]) -> str:
    return str((metadata.get("input") or {}).get("crop") or "")
