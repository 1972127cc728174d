"""Prints Table 1 of the AnimeGAN paper again: size, parameters, MACs and time of photo-to-anime networks.

    python benchmarks/animegan_table.py
    python benchmarks/animegan_table.py --onnx animeganv3=AnimeGANv3_Hayao_36.onnx --write

CartoonGAN, AnimeGAN, AnimeGANv2 and its lite form are this suite's networks; AnimeGANv3, or any other network from
picture to picture, comes from an ONNX file: NAME=FILE, with channels first or last, of fixed or free size.

- Size: the bytes of the float32 .safetensors file, or of the ONNX file; 1 MB is 1,000,000 bytes.
- Parameters: all numbers of the network; in an ONNX file the floating-point initialisers and constants.
- MACs: multiplications with an addition in the convolutions, transposed convolutions and matrix products of one pass.
  Norms, activations, biases and resizing are left out. A zero that pads a border counts as any other pixel.
- Time: one pass for one picture of 256 x 256 on this CPU, random weights. The networks take turns, so that whatever
  else the machine does falls on all alike.
"""
from __future__ import annotations

import argparse
import math
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))                                  # runs from a clone without being installed

from benchmarks.report import processor, replace_section  # noqa: E402
from ppgan_apps.errors import ConfigError, MissingExtra, WeightsError  # noqa: E402

SIZE = 256                                                     # pixels on a side of the picture, as in the paper
LABELS = {"cartoongan": "CartoonGAN", "animegan": "AnimeGAN", "animeganv2": "AnimeGANv2",
          "animeganv2_lite": "AnimeGANv2 lite", "animeganv3": "AnimeGANv3"}
OURS = ["cartoongan", "animegan", "animeganv2", "animeganv2_lite"]

# What the authors state in public, and how it compares with ours. The paper itself (Chen, Liu and Chen 2020,
# doi 10.1007/978-981-15-5577-0_18) was not to be had: figures that stand only in its Table 1 are missing here.
AUTHORS_PAGE = "https://tachibanayoshino.github.io/AnimeGANv2/"
PUBLISHED = {
    "cartoongan": ("-", "No figure found; the layers are those of the authors' published model "
                        "(Yijunmaverick/CartoonGAN-Test-Pytorch-Torch, network/Transformer.py)."),
    "animegan": ("15.8 MB; about 0.05 s", f"Size: {AUTHORS_PAGE}, and ours agrees. Time: from the paper, as quoted in "
                                          "issue 46 of TachibanaYoshino/AnimeGAN; theirs is a mean over a test set on "
                                          "a GPU."),
    "animeganv2": ("8.6 MB", f"{AUTHORS_PAGE}, and ours agrees; the 8.17 Mb of the README are the same bytes in units "
                             "of 1,048,576."),
    "animeganv2_lite": ("-", "The authors only call it smaller; ours is the first of their two lite generators "
                             "(net/generator_lite.py, variable scopes A to E)."),
    "animeganv3": ("1.02 M parameters", "Abstract of doi 10.1587/transinf.2023EDP7061, for the tail that is used after "
                                        "training; an exported file may hold constants besides."),
}


@dataclass
class Measured:
    """One network of the table."""

    name: str
    size: int                           # bytes of its file
    parameters: int
    macs: int                           # of one pass
    pixels: tuple[int, int]             # height and width of the picture that macs and time are for
    run: Callable[[], object]           # one pass


def main() -> int:
    """Measures, prints, and writes the section of docs/benchmarks.md if asked to. Returns the exit code."""
    arguments = parser().parse_args()
    files = [name_and_file(text) for text in arguments.onnx]
    networks = [measure_paddle(name, our_network(name)) for name in arguments.networks]
    networks += [measure_onnx(name, file) for name, file in files]
    section = markdown(networks, time_in_turns(networks, arguments.rounds), arguments.rounds)
    print(section)
    if arguments.write:
        replace_section(arguments.output, section)
    return 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--networks", nargs="*", choices=OURS, default=OURS, help="which of the suite's (default all)")
    made.add_argument("--onnx", nargs="+", action="extend", default=[], metavar="NAME=FILE",
                      help="networks from ONNX files, for example animeganv3=AnimeGANv3_Hayao_36.onnx")
    made.add_argument("--rounds", type=positive, default=5, help="timed passes of each network (default 5)")
    made.add_argument("--write", action="store_true", help="put the table into docs/benchmarks.md")
    made.add_argument("--output", type=Path, default=ROOT / "docs" / "benchmarks.md", help="... or into another file")
    return made


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("should be 1 or more")
    return number


def name_and_file(text: str) -> tuple[str, Path]:
    """"animeganv3=FILE" as its two parts. Raises ConfigError."""
    name, equals, file = text.partition("=")
    if not (name and equals and file):
        raise ConfigError(f"--onnx {text} should read NAME=FILE, for example animeganv3=AnimeGANv3_Hayao_36.onnx.")
    return name, Path(file)


# Networks of the suite

def our_network(name: str):
    """The generator `name` with random weights."""
    from ppgan_apps.networks.animegan import AnimeGANGenerator
    from ppgan_apps.networks.animeganv2 import AnimeGANv2Generator
    from ppgan_apps.networks.cartoongan import CartoonGANGenerator
    if name == "cartoongan":
        return CartoonGANGenerator()
    if name == "animegan":
        return AnimeGANGenerator()
    return AnimeGANv2Generator(lite=name == "animeganv2_lite")


def measure_paddle(name: str, network) -> Measured:
    """Everything but the time of a Paddle network from pictures [N, 3, H, W]."""
    import paddle
    network.eval()
    picture = paddle.rand([1, 3, SIZE, SIZE]) * 2 - 1

    def one_pass():
        with paddle.no_grad():
            return network(picture)
    return Measured(name, file_size(network), sum(parameter.size for parameter in network.parameters()),
                    paddle_macs(network, picture), (SIZE, SIZE), one_pass)


def file_size(network) -> int:
    """Bytes of the network's .safetensors file."""
    from ppgan_apps.weights import save_weights
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "network.safetensors"
        save_weights(file, {name: value.numpy() for name, value in network.state_dict().items()}, {})
        return file.stat().st_size


def paddle_macs(network, *inputs) -> int:
    """Multiplications of one pass of `network` over `inputs`, by hooks. paddle.flops knows a layer by its exact class,
    so that it takes our convolutions with the faster bias for free. Raises ConfigError for a layer without a rule."""
    import paddle
    found = []

    def count(layer, given, made):
        found.append(layer_macs(layer, given[0].shape, made.shape))
    layers = [layer for layer in network.sublayers(include_self=True) if has_matrix(layer)]
    hooks = [layer.register_forward_post_hook(count) for layer in layers]
    try:
        with paddle.no_grad():
            network(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return sum(found)


def has_matrix(layer) -> bool:
    """Whether a layer itself has weights of two or more dimensions: scales and biases have one."""
    return any(parameter.ndim > 1 for parameter in layer.parameters(include_sublayers=False))


def layer_macs(layer, given: list[int], made: list[int]) -> int:
    """Multiplications of one layer that makes the shape `made` of the shape `given`."""
    import paddle.nn as nn
    if isinstance(layer, nn.Conv2D):                           # weight [out, in / groups, height, width]
        return math.prod(made) * math.prod(layer.weight.shape[1:])
    if isinstance(layer, nn.Conv2DTranspose):                  # weight [in, out / groups, height, width]
        return math.prod(given) * math.prod(layer.weight.shape[1:])
    if isinstance(layer, nn.Linear):                           # weight [in, out]
        return math.prod(made) * layer.weight.shape[0]
    raise ConfigError(f"The layer {type(layer).__name__} has weights, but its multiplications are not counted: "
                      f"give layer_macs in {Path(__file__).name} a rule for it.")


# Networks in ONNX files

COUNTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
UNCOUNTED = ("ConvInteger", "QLinearConv", "DeformConv", "MatMulInteger", "QLinearMatMul", "Einsum", "Attention", "RNN",
             "GRU", "LSTM")


def measure_onnx(name: str, path: Path) -> Measured:
    """Everything but the time of a network in an ONNX file with one picture as input.

    Raises WeightsError for a file that is none or takes no picture, MissingExtra without onnx and onnxruntime.
    """
    onnx, onnxruntime = onnx_packages()
    model = read_onnx(onnx, path)
    graph_input, shape = picture_input(model.graph, path)
    dtype = onnx.helper.tensor_dtype_to_np_dtype(graph_input.type.tensor_type.elem_type)
    import numpy as np
    feed = {graph_input.name: np.random.default_rng(0).uniform(-1, 1, shape).astype(dtype)}
    session = start_session(onnxruntime, model, path)
    macs = onnx_macs(onnx, onnxruntime, model, feed, path)
    height, width = shape[1:3] if shape[3] == 3 else shape[2:]
    return Measured(name, path.stat().st_size, onnx_parameters(onnx, model.graph), macs, (height, width),
                    lambda: session.run(None, feed))


def onnx_packages():
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise MissingExtra(error.name or "onnx", "bench", "Reading an ONNX file") from error
    return onnx, onnxruntime


def read_onnx(onnx, path: Path):
    from google.protobuf.message import DecodeError
    try:
        model = onnx.load(str(path))
    except FileNotFoundError:
        raise WeightsError(f"{path} does not exist: give the path of an ONNX file.") from None
    except (OSError, DecodeError) as error:
        raise WeightsError(f"{path} is no readable ONNX file ({error}): unpack it, or export it again.") from error
    return model


def picture_input(graph, path: Path):
    """The input that is no weight, and the shape of a batch of one picture for it. Raises WeightsError."""
    weights = {initializer.name for initializer in graph.initializer}
    inputs = [entry for entry in graph.input if entry.name not in weights]
    sizes = [entry.dim_value for entry in inputs[0].type.tensor_type.shape.dim] if len(inputs) == 1 else []
    if len(sizes) != 4 or sizes[0] > 1 or 3 not in (sizes[1], sizes[3]):
        shapes = ", ".join(f"{entry.name} {[dim.dim_value or '?' for dim in entry.type.tensor_type.shape.dim]}"
                           for entry in inputs)
        raise WeightsError(f"{path} should take one picture, [1, 3, H, W] or [1, H, W, 3], but takes "
                           f"{shapes or 'nothing'}: give a generator from picture to picture.")
    return inputs[0], [1] + [size if size > 0 else SIZE for size in sizes[1:]]     # 0 stands for a free size


def start_session(onnxruntime, model, path: Path):
    """Runs `model` with as many threads as Paddle has. Raises WeightsError when onnxruntime cannot."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3                             # its remarks on unused weights are no faults
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")       # or it slows the others' turns
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:                                 # onnxruntime's errors have no common base but this
        raise WeightsError(f"onnxruntime cannot run {path} ({' '.join(str(error).split())}): export it again, "
                           f"or update onnxruntime.") from error


def onnx_parameters(onnx, graph) -> int:
    """Floating-point numbers that the graph holds."""
    tensors = list(graph.initializer)
    tensors += [attribute.t for node in graph.node if node.op_type == "Constant" for attribute in node.attribute
                if attribute.type == onnx.AttributeProto.TENSOR]
    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16, onnx.TensorProto.DOUBLE)
    return sum(math.prod(tensor.dims) for tensor in tensors if tensor.data_type in floats)


def onnx_macs(onnx, onnxruntime, model, feed: dict, path: Path) -> int:
    """Multiplications of one pass over `feed`. The shapes are those that onnxruntime sees, since ONNX's own inference
    of shapes loses track of sizes that a graph computes, as resizing in a TensorFlow export does."""
    refuse_uncounted(onnx, model.graph, path)
    nodes = [node for node in model.graph.node if node.op_type in COUNTED]
    wanted = {name for node in nodes for name in (*node.input[:2], node.output[0])}
    shapes = {initializer.name: tuple(initializer.dims) for initializer in model.graph.initializer}
    shapes.update({name: array.shape for name, array in feed.items()})
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    del probe.graph.output[:]
    names = sorted(wanted - set(shapes))
    probe.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    if names:
        outputs = start_session(onnxruntime, probe, path).run(names, feed)
        shapes.update({name: output.shape for name, output in zip(names, outputs)})
    return sum(node_macs(node, *(shapes[name] for name in (*node.input[:2], node.output[0]))) for node in nodes)


def refuse_uncounted(onnx, graph, path: Path) -> None:
    """Raises ConfigError for operators that multiply and have no rule here, and for branches and loops."""
    unknown = sorted({node.op_type for node in graph.node if node.op_type in UNCOUNTED
                      or any(attribute.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)
                             for attribute in node.attribute)})
    if unknown:
        raise ConfigError(f"{path} has the operators {', '.join(unknown)}, whose multiplications are not counted: "
                          f"export it as a plain float network.")


def node_macs(node, first, second, made) -> int:
    """Multiplications of one node with inputs of the shapes `first` and `second` that makes the shape `made`."""
    if node.op_type == "Conv":                                 # weight [out, in / groups, height, width]
        return math.prod(made) * math.prod(second[1:])
    if node.op_type == "ConvTranspose":                        # weight [in, out / groups, height, width]
        return math.prod(first) * math.prod(second[1:])
    transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
    return math.prod(made) * first[0 if transposed else -1]


# Time and table

def time_in_turns(networks: list[Measured], rounds: int) -> dict[str, list[float]]:
    """Seconds of each timed pass, by name. One pass of each before them is not counted."""
    seconds = {network.name: [] for network in networks}
    for index in range(rounds + 1):
        for network in networks:
            start = time.perf_counter()
            network.run()
            if index:
                seconds[network.name].append(time.perf_counter() - start)
    return seconds


def markdown(networks: list[Measured], seconds: dict[str, list[float]], rounds: int) -> str:
    """The section of docs/benchmarks.md."""
    lines = [
        "## AnimeGAN's Table 1 again",
        "",
        "Written by `python benchmarks/animegan_table.py --write`; do not edit. Its `--help` says what each column",
        f"counts. Time: median (fastest - slowest) of {rounds} passes over one picture of {SIZE} x {SIZE}, in seconds,",
        "the networks taking turns. \"-\": stated nowhere that we could read, or not measured.",
        "",
        f"{date.today().isoformat()}, {processor()}, {os.environ.get('OMP_NUM_THREADS', '1')} threads, load average "
        f"{load_average()}, Python {platform.python_version()}, {versions(networks)}.",
        "",
        "| Network | Size, MB | Parameters | MACs, 10^9 | Time, s | Published |",
        "|---|---|---|---|---|---|",
    ]
    rows = {network.name: cells(network, seconds[network.name]) for network in networks}
    rows.setdefault("animeganv3", ["-"] * 4)
    for name, row in rows.items():
        lines.append(f"| {LABELS.get(name, name)} | " + " | ".join([*row, PUBLISHED.get(name, ('-', ''))[0]]) + " |")
    lines += ["", "Where the published figures are from, and why ours differ:", ""]
    lines += [f"- {LABELS[name]}: {PUBLISHED[name][1]}" for name in rows if name in PUBLISHED]
    if "animeganv3" not in {network.name for network in networks}:
        lines.append("- AnimeGANv3 was not measured: give its file by `--onnx animeganv3=FILE`.")
    return "\n".join(lines)


def cells(network: Measured, times: list[float]) -> list[str]:
    shown = f"{statistics.median(times):.2f} ({min(times):.2f} - {max(times):.2f})"
    if network.pixels != (SIZE, SIZE):
        shown += f" at {network.pixels[1]} x {network.pixels[0]}"
    return [f"{network.size / 1e6:.2f}", f"{network.parameters:,}", f"{network.macs / 1e9:.2f}", shown]


def load_average() -> str:
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"


def versions(networks: list[Measured]) -> str:
    """The packages that ran the networks."""
    ours = {network.name in OURS for network in networks}
    used = [name for name, is_used in (("paddle", True in ours), ("onnxruntime", False in ours)) if is_used]
    return ", ".join(f"{name} {import_module(name).__version__}" for name in used)


if __name__ == "__main__":
    from ppgan_apps.cli import guarded
    sys.exit(guarded(main))
