"""Exports a generator as an ONNX file or a Paddle inference program, kept only if it gives what the network gives.

The written file is run by its own runtime on random and on real input and compared with the network as it runs in
Paddle, image by image; the largest difference is printed.
"""
from __future__ import annotations

import argparse
import inspect
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from . import downloads, engines, images, weights, zoo
from .errors import ExportError, OutputError, WeightsError
from .runtime import import_paddle

# Of the largest value of an output. Half precision rounds weights to 11 bits, and so shifts the picture more.
BOUND, HALF_BOUND = 1e-3, 2e-2
# What follows the name of a sample whose difference holds Paddle's own rounding too; it is not bounded.
ROUNDED = ", with Paddle's rounding of its layer norms"
# "module:class" below networks/, in the order in which they are tried for weights that do not say.
NETWORKS = ("animeganv2:AnimeGANv2Generator", "photo2cartoon:Photo2CartoonGenerator", "unet:UnetGenerator",
            "resnet:ResnetGenerator", "cartoongan:CartoonGANGenerator", "animegan:AnimeGANGenerator",
            "ugatit:UGATITGenerator", "stylegan2:StyleGAN2Generator", "dcgan:DCGANGenerator", "dcgan:AvatarGenerator",
            "mlp:MLPGenerator")
# Of faces: run in another engine as generators are, though no weights of users are for them.
FACE_NETWORKS = ("LandmarkNet", "PortraitSegmenter")
WITH_HEATMAP = ("Photo2CartoonGenerator", "UGATITGenerator")


@dataclass(frozen=True)
class Input:
    """One input of an exported network; a text in `shape` names a size that varies."""
    name: str
    shape: tuple[int | str, ...]
    dtype: str = "float32"


@dataclass(frozen=True)
class Subject:
    """A network that is to be exported, with all that its file must say."""
    network: Any                                               # a paddle.nn.Layer, evaluating
    inputs: tuple[Input, ...]
    outputs: Mapping[str, tuple[int | str, ...]]               # shapes by name
    samples: Mapping[str, tuple[np.ndarray, ...]] = field(repr=False)   # inputs to compare by: "random", "picture" ...
    about: Mapping[str, Any]


def export(network, path: str | Path, about: Mapping[str, Any] | None = None, half: bool = False, latent: str = "z",
           truncation: float | None = None, overwrite: bool = False) -> dict[str, float]:
    """Writes `network` as an ONNX file when `path` ends in .onnx, else as a Paddle program, a folder of that name.

    Args:
        network: a generator of the suite.
        about: what the file says of the weights: family, licence, weights_sha256, input ...
        half: weights stored as float16, for ONNX; arithmetic stays float32.
        latent, truncation: of a StyleGAN2, see FromLatents.
    Returns the largest difference from the network for each input tried, relative to the largest value.
    Raises ExportError when the result differs or the network has no such form, OutputError when `path` exists or
    cannot be written, MissingExtra without onnx and onnxruntime.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists: use --overwrite, or another name.")
    subject = describe(network, about or {}, latent, truncation)
    if path.suffix == ".onnx":
        return write_onnx(subject, path, half)
    if half:
        raise ExportError("A Paddle program has no half precision on a CPU: export .onnx with --fp16, or leave it out.")
    return write_program(subject, path)


def describe(network, about: Mapping[str, Any] = (), latent: str = "z", truncation: float | None = None) -> Subject:
    """What is exported of a generator: its inputs and outputs with the sizes that vary, and inputs to compare by."""
    import paddle

    from .export_forms import LATENTS, FromLatents
    network.eval()
    name, arguments = type(network).__name__, dict(network.arguments)
    about = {"class": name, "network": arguments, **dict(about)}
    if name == "StyleGAN2Generator":
        if latent not in LATENTS:
            raise ExportError(f"The latent is '{latent}': use {' or '.join(LATENTS)}.")
        stored = about.get("w_mean")
        mean_w = (network.mean_latent() if stored is None else
                  paddle.to_tensor(np.asarray(stored, np.float32).reshape(1, network.style_dim)))
        return _latent_subject(FromLatents(network, latent, truncation, mean_w), about)
    if "latent_dim" in arguments:
        return _noise_subject(network, about)
    if name in FACE_NETWORKS:
        return _face_subject(network, about)
    return _picture_subject(network, about)


def _picture_subject(network, about: dict[str, Any]) -> Subject:
    arguments = network.arguments
    channels, drawn = arguments.get("input_nc", 3), arguments.get("output_nc", 3)
    stride = _stride(type(network).__name__, arguments)
    bound = arguments.get("img_size") if arguments.get("light") is False and "img_size" in arguments else None
    height, width = (bound, bound) if bound else ("height", "width")
    outputs = {"picture": ("batch", drawn, height, width)}
    if type(network).__name__ in WITH_HEATMAP:
        quarter = (bound // 4, bound // 4) if bound else ("heatmap_height", "heatmap_width")
        outputs |= {"cam_logits": ("batch", 2), "heatmap": ("batch", 1, *quarter)}

    def side(pixels: int) -> int:
        return bound or max(stride, -(-pixels // stride) * stride)
    random = np.random.RandomState(0).uniform(-1, 1, (2, channels, side(48), side(80)))
    real = _photo(side(160), side(128), channels)
    samples = {"random": (random.astype(np.float32),), "picture": (real,)}
    given = {"range": [-1, 1], "layout": "NCHW", "channels": "RGB", "multiple_of": stride, **about.pop("input", {})}
    return Subject(network, (Input("photo", ("batch", channels, height, width)),), outputs, samples,
                   {**about, "input": given})


def _face_subject(network, about: dict[str, Any]) -> Subject:
    side = network.side
    if type(network).__name__ == "LandmarkNet":
        channels, points = 1, ("batch", network.points, 2)
        outputs = {"from_shape": points, "from_heat": points}
    else:
        channels, outputs = 3, {"logits": ("batch", 1, side, side)}
    random = np.random.RandomState(0).uniform(-1, 1, (2, channels, side, side))
    samples = {"random": (random.astype(np.float32),), "picture": (_photo(side, side, channels),)}
    return Subject(network, (Input("photo", ("batch", channels, side, side)),), outputs, samples, about)


def parts_for_tiles(subject: Subject) -> dict[str, Subject]:
    """The two networks by which large pictures are drawn in tiles (predictors/tiles.py), by name; none where there are
    none."""
    from .export_forms import GivenNorms, MeasuredNorms
    network = subject.network
    if not has_parts_for_tiles(network):
        return {}
    moments = ("norms", 2)
    return {"measured": replace(subject, network=MeasuredNorms(network),
                                outputs={**subject.outputs, "moments": moments}),
            "given": replace(subject, network=GivenNorms(network), inputs=(*subject.inputs, Input("moments", moments)))}


def has_parts_for_tiles(network) -> bool:
    """Whether tiles can be what the whole is: not where a network has other norms than layer norms, or enlarges by the
    picture's size."""
    return (type(network).__name__ == "AnimeGANv2Generator"
            and network.arguments["upsample_align"] != "align_corners")


def _stride(name: str, arguments: Mapping[str, Any]) -> int:
    """What height and width must be multiples of."""
    return 2 ** arguments["num_downs"] if "num_downs" in arguments else 16 if name == "Photo2CartoonGenerator" else 4


def _photo(height: int, width: int, channels: int) -> np.ndarray:
    """A photograph (NASA, public domain) as the networks see it, float32 [1, channels, height, width]."""
    import skimage.data
    fed = images.to_array(images.resize(skimage.data.astronaut(), (width, height)))
    return np.ascontiguousarray(np.resize(fed, (1, channels, height, width)))


def _latent_subject(layer, about: dict[str, Any]) -> Subject:
    network = layer.network
    inputs = [Input(layer.latent, ("batch", "layers", network.style_dim))]
    random = np.random.RandomState(0)
    plain, mixed = random.randn(2, 1, network.style_dim), random.randn(1, network.n_latent, network.style_dim)
    samples = {"random": (plain.astype(np.float32),), "mixed": (mixed.astype(np.float32),)}
    if layer.truncation is None:
        inputs.append(Input("truncation", (1,)))
        samples = {name: (*arrays, np.array([share], np.float32))
                   for (name, arrays), share in zip(samples.items(), (0.7, 1.0))}
    given = {"latent": layer.latent, "layers": [1, network.n_latent]}
    about = {**about, "input": given, "truncation": layer.truncation,
             "w_mean": layer.mean_w.numpy().reshape(-1).tolist()}
    return Subject(layer, tuple(inputs), {"picture": ("batch", 3, network.size, network.size)}, samples, about)


def _noise_subject(network, about: dict[str, Any]) -> Subject:
    arguments = network.arguments
    side = arguments.get("size", 96)
    random = np.random.RandomState(0)
    samples = {name: [random.randn(count, arguments["latent_dim"]).astype(np.float32)]
               for name, count in (("random", 3), ("single", 1))}
    inputs = [Input("z", ("batch", arguments["latent_dim"]))]
    if arguments.get("classes"):
        inputs.append(Input("labels", ("batch",), "int64"))
        for given in samples.values():
            given.append(np.arange(len(given[0]), dtype=np.int64) % arguments["classes"])
    return Subject(network, tuple(inputs), {"picture": ("batch", arguments["channels"], side, side)},
                   {name: tuple(given) for name, given in samples.items()}, {**about, "input": {"latent": "z"}})


# ---- Writing

def write_onnx(subject: Subject, path: Path, half: bool = False) -> dict[str, float]:
    """Writes an ONNX file; see `export`."""
    model = onnx_model(subject, half)
    images.make_folder(path.parent)
    with images.replacing(path) as temporary:
        temporary.write_bytes(model.SerializeToString())
        return compare(subject, engines.OnnxNetwork(temporary), path, HALF_BOUND if half else BOUND, exact=True)


def onnx_model(subject: Subject, half: bool = False):
    """The network as an ONNX ModelProto. Raises ExportError for a Layer without an ONNX form, MissingExtra."""
    from .onnx_graphs import Graph
    from .onnx_networks import express
    graph = Graph(half)
    results = express(subject.network, graph, *(given.name for given in subject.inputs))
    results = results if isinstance(results, tuple) else (results,)
    about = {**subject.about, "precision": "float16 weights" if half else "float32"}
    return graph.model(str(about["class"]), {given.name: (given.dtype, given.shape) for given in subject.inputs},
                       {name: (value, shape) for (name, shape), value in zip(subject.outputs.items(), results)},
                       {name: json.dumps(value, ensure_ascii=False) for name, value in about.items()})


def write_program(subject: Subject, folder: Path) -> dict[str, float]:
    """Writes a Paddle program as <folder>/model.json (Paddle 2: .pdmodel), model.pdiparams and about.json."""
    import paddle

    from .export_forms import plain_forms
    images.make_folder(folder.parent)
    specification = [paddle.static.InputSpec([None if isinstance(size, str) else size for size in given.shape],
                                             given.dtype, given.name) for given in subject.inputs]
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent))
    try:
        with plain_forms(subject.network):
            paddle.jit.save(subject.network, str(temporary / "model"), input_spec=specification)
        (temporary / engines.ABOUT_FILE).write_text(json.dumps(subject.about, ensure_ascii=False, indent=1) + "\n",
                                                    encoding="utf-8")
        differences = compare(subject, engines.PaddleProgram(temporary), folder, BOUND)
        temporary.chmod(0o755)
        _replace_folder(temporary, folder)
    except OSError as error:
        raise OutputError(f"{folder} cannot be written ({error.strerror or error}): choose another folder.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return differences


def _replace_folder(new: Path, folder: Path) -> None:
    """Puts `new` where `folder` is, if that is an earlier export; nothing else of the user's is removed."""
    if folder.is_dir():
        if not (folder / engines.ABOUT_FILE).is_file():
            raise OutputError(f"The folder {folder} holds something else than an exported program: use another name.")
    images.replace_folder(new, folder)


def compare(subject: Subject, exported, path: Path | str, bound: float, exact: bool = False) -> dict[str, float]:
    """The largest difference of every sample, relative to the largest value of its output.

    `exact` compares with the network whose layer-instance norms sum exactly (see export_forms.exact_moments), and gives
    the difference from the network as it is too. Raises ExportError when one is above `bound` or no number.
    """
    from .export_forms import exact_moments, has_layer_instance_norm
    exact = exact and has_layer_instance_norm(subject.network)
    differences = {}
    for sample, arrays in subject.samples.items():
        name = f"{sample} {'x'.join(map(str, arrays[0].shape))}"
        found = exported(*arrays)
        with exact_moments(subject.network) if exact else nullcontext():
            differences[name] = _difference(eager(subject, arrays), found)
        if exact:
            differences[f"{name}{ROUNDED}"] = _difference(eager(subject, arrays), found)
        if not differences[name] <= bound:                     # NaN too
            raise ExportError(f"{path} is not kept: on {name} it differs from the network by {differences[name]:.2g} "
                              f"of the largest value, more than {bound:g}.")
    return differences


def _difference(expected: Sequence[np.ndarray], found: Sequence[np.ndarray]) -> float:
    """The largest difference relative to the largest value, over all outputs; infinite where shapes differ."""
    worst = 0.0
    for wanted, got in zip(expected, found, strict=True):
        if wanted.shape != got.shape or not np.isfinite(got).all():
            return float("inf")
        worst = max(worst, float(np.abs(wanted - got).max() / max(np.abs(wanted).max(), 1e-6)))
    return worst


def eager(subject: Subject, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The outputs of the network as Paddle runs it, image by image."""
    import paddle
    rows = []
    with paddle.no_grad():
        for index in range(len(arrays[0])):
            # What all images share (the truncation) has one row.
            row = [paddle.to_tensor(array[index:index + 1] if len(array) == len(arrays[0]) else array)
                   for array in arrays]
            given = subject.network(*row)
            rows.append([output.numpy() for output in (given if isinstance(given, (tuple, list)) else [given])])
    return [np.concatenate(outputs) for outputs in zip(*rows)]


# ---- Reading what is to be exported

def load(source: str | Path, arguments: Mapping[str, Any] | None = None):
    """(network, about) of a record of the zoo, a weight file, a checkpoint or a run folder.

    Args:
        arguments: how the network is built, for a file that does not say.
    Raises WeightsError when the weights are missing or are no generator's.
    """
    import_paddle()
    source = str(source)
    family = source.partition("/")[0]
    recorded = not Path(source).exists() and bool(zoo.styles(family))
    if recorded:
        record = zoo.get(source)
        path, part, licence, built = record.path(), record.part, record.licence, dict(record.network)
        given = {"size": record.input.size}
    else:
        path, part, licence, built, given = weights.resolve(source), "", "not stated in the file", {}, {}
    metadata = weights.read_metadata(path)
    built = {**built, **(metadata.get("network") or {}), **(arguments or {})}
    network = _network(weights.read_weights(path, part), built, source)
    about = {"family": metadata.get("family", family if recorded else ""),
             "licence": metadata.get("licence") or licence, "weights": source,
             "weights_sha256": downloads.sha256_of(path), "input": {**given, **(metadata.get("input") or {})}}
    return network, about | ({"w_mean": metadata["w_mean"]} if "w_mean" in metadata else {})


def _network(state: Mapping[str, np.ndarray], arguments: Mapping[str, Any], source: str):
    """The first generator that takes the arguments and whose entries are the file's."""
    errors = []
    for entry in NETWORKS:
        module, _, name = entry.partition(":")
        build = getattr(import_module(f".networks.{module}", __package__), name)
        parameters = inspect.signature(build).parameters
        needed = {key for key, given in parameters.items() if given.default is inspect.Parameter.empty}
        if not needed <= set(arguments) <= set(parameters):
            continue
        try:
            return weights.load_strict(weights.build(build, arguments, state), state, source)
        except (WeightsError, TypeError, ValueError) as error:
            errors.append(error)
    if len(errors) == 1:
        raise WeightsError(str(errors[0])) from errors[0]
    raise WeightsError(f"{source} fits no generator of the suite" + (f" built with {dict(arguments)}" if arguments else
                       "; if it does not say how its network is built, give --arguments") + ".")


# ---- The command

def run(options: argparse.Namespace) -> int:
    """Exports and prints what was compared."""
    target = Path(options.output)
    if target.exists() and not options.overwrite:              # told before any work is done
        raise OutputError(f"{target} exists: use --overwrite, or another name.")
    network, about = load(options.weights, options.arguments)
    differences = export(network, target, about, options.fp16, options.latent, options.truncation, options.overwrite)
    size = sum(file.stat().st_size for file in ([target] if target.is_file() else target.iterdir()))
    print(f"{target}: {size / 1e6:.1f} MB, licence of the weights: {about['licence']}")
    for sample, difference in differences.items():
        print(f"    on {sample}: differs by {difference:.1e} of the largest value")
    return 0
