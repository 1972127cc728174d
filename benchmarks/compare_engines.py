"""Times this suite's generators against every peer on this processor, in one interleaved run: a table and a plot.

    python benchmarks/compare_engines.py --quick --torch-python /path/to/venv/bin/python
    python benchmarks/compare_engines.py --networks animeganv2-512 --contenders paddlegan auto

For each network one process per contender stays open, and they take turns, one picture at a time, so that whatever else
the machine does falls on all alike. Random weights: time does not depend on them. Contenders:

- paddlegan: the networks of the package ppgan 2.1.0 with Paddle as installed (see compare_paddlegan.py)
- paddle: this suite's with the engine paddle
- auto: this suite's as its predictors run them, in the engine that was the fastest when it was exported
- onnx, openvino: the file that the suite exports, in a bare ONNX Runtime or OpenVINO with its own defaults
- mnn: the same file converted by MNN (`pip install MNN`), in full precision; --mnn-python names a Python that has it.
- torch, torch-last, torch-tuned, torch-compiled: the network in PyTorch (torch_networks.py), eager, with channels last,
  that with glibc's allocator set as this suite sets it, and compiled; need --torch-python, a Python that has torch
- limit: no network, but the time of its multiplications at the rate of a product of two matrices of 2048 x 2048 in
  numpy, measured in the same turns: what the processor's arithmetic takes when nothing else takes time

A pass that takes longer than --patience seconds is the only one of its contender, and is not warmed up. Memory is the
largest resident set of the process by the end of its passes, libraries included.
"""
from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))                                  # runs from a clone without being installed

from benchmarks.compare_paddlegan import (  # noqa: E402
    environment,
    our_network,
    paddlegan_environment,
    skip_package_imports,
    their_network,
)
from benchmarks.report import processor, replace_section  # noqa: E402

PLOT = Path("images") / "engines.png"                          # beside the report
HEADING = "## Engines"


@dataclass(frozen=True)
class Case:
    """A network at one size."""
    network: str
    size: int
    label: str
    quick: bool = True                                         # part of --quick


CASES = {
    "animeganv2-256": Case("animeganv2", 256, "AnimeGANv2, 256 px"),
    "animeganv2-512": Case("animeganv2", 512, "AnimeGANv2, 512 px"),
    "animeganv2-1024": Case("animeganv2", 1024, "AnimeGANv2, 1024 px", quick=False),
    "photo2cartoon-256": Case("photo2cartoon", 256, "Photo2Cartoon, 256 px"),
    "stylegan2-256": Case("stylegan2", 256, "StyleGAN2, 256 px"),
    "stylegan2-1024": Case("stylegan2", 1024, "StyleGAN2, 1024 px"),
    "unet-256": Case("unet", 256, "U-Net (pix2pix), 256 px"),
}
CONTENDERS = {"paddlegan": "PaddleGAN", "paddle": "ours, engine paddle", "auto": "ours, auto", "onnx": "ONNX Runtime",
              "openvino": "OpenVINO", "mnn": "MNN", "torch": "PyTorch eager", "torch-last": "PyTorch channels last",
              "torch-tuned": "PyTorch tuned", "torch-compiled": "PyTorch compiled", "limit": "arithmetic alone"}
BASELINE, OURS, LIMIT = "paddlegan", "auto", "limit"
LIMIT_SIDE = 2048                                              # of the matrices whose product gives the rate
ALLOCATOR = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1)}


@dataclass
class Measured:
    """What one contender took for one case."""
    seconds: list[float]
    megabytes: float                                           # its largest resident set
    note: str = ""                                             # what its worker says of itself


def main() -> int:
    arguments = parser().parse_args()
    if arguments.worker:
        serve(arguments.worker, CASES[arguments.networks[0]], arguments.file)
        return 0
    contenders = arguments.contenders or [name for name in CONTENDERS if name != "torch-compiled"]
    if arguments.torch_python is None:
        contenders = [name for name in contenders if not name.startswith("torch")]
    names = arguments.networks or [name for name, case in CASES.items() if case.quick or not arguments.quick]
    rounds = arguments.rounds or (3 if arguments.quick else 7)
    patience = arguments.patience or (5.0 if arguments.quick else 10.0)
    pythons = {name: Path(sys.executable) for name in contenders}
    if BASELINE in contenders:
        pythons[BASELINE] = arguments.paddlegan_python or paddlegan_environment()
    if arguments.mnn_python and "mnn" in pythons:
        pythons["mnn"] = arguments.mnn_python
    pythons |= {name: arguments.torch_python for name in contenders if name.startswith("torch")}
    measured = {}
    with tempfile.TemporaryDirectory() as home:
        for name in names:
            measured[name] = measure(name, pythons, rounds, patience, Path(home))
            print("\n".join(table({name: measured[name]}, list(pythons))), file=sys.stderr)
    section = markdown(measured, list(pythons), rounds)
    print(section)
    if not arguments.dry_run:
        replace_section(arguments.output, section)
        draw(measured, list(pythons), arguments.output.parent / PLOT)
    return 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--quick", action="store_true", help="3 rounds, a patience of 5, without the largest picture: "
                      "about 10 minutes")
    made.add_argument("--rounds", type=int, help="timed passes of each contender (default 7)")
    made.add_argument("--networks", nargs="+", choices=CASES, help="which (default all)")
    made.add_argument("--contenders", nargs="+", choices=CONTENDERS, help="which (default all but torch-compiled)")
    made.add_argument("--patience", type=float, metavar="SECONDS", help="see above (default 10)")
    made.add_argument("--mnn-python", type=Path, help="a Python that has MNN, onnxruntime and numpy")
    made.add_argument("--paddlegan-python", type=Path, help="a Python that has paddle and ppgan")
    made.add_argument("--torch-python", type=Path, help="a Python that has torch and numpy")
    made.add_argument("--output", type=Path, default=ROOT / "docs" / "benchmarks.md")
    made.add_argument("--dry-run", action="store_true", help="print the table and write nothing")
    made.add_argument("--worker", choices=[*CONTENDERS, "export"], help=argparse.SUPPRESS)
    made.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    return made


# ---- Measuring

def measure(name: str, pythons: dict[str, Path], rounds: int, patience: float, home: Path) -> dict[str, Measured]:
    """Every contender's passes of one case, in turns. One that does not start is left out with a notice."""
    surroundings = {**environment(), "PPGAN_APPS_HOME": str(home), "PPGAN_APPS_OFFLINE": "1"}
    # Exported beforehand, so that no process that is timed holds what comparing with Paddle took.
    done = subprocess.run(command(sys.executable, "export", name), env=surroundings, capture_output=True, text=True)
    file = next((json.loads(line)["file"] for line in done.stdout.splitlines() if line.startswith('{"file"')), None)
    measured: dict[str, Measured] = {}
    with ExitStack() as stack:
        processes = {}
        for contender, python in pythons.items():
            tuned = ALLOCATOR if contender == "torch-tuned" else {}
            processes[contender] = stack.enter_context(subprocess.Popen(
                command(python, contender, name, file), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, text=True, env=surroundings | tuned))
        finished = set()
        for turn in range(rounds + 1):                         # the first warms up, unless it is all there is time for
            for contender, process in processes.items():
                if contender in finished:
                    continue
                answer = ask(process)
                if answer is None:
                    print(f"{contender} is left out: {last_line(process)}", file=sys.stderr)
                    finished.add(contender)
                    continue
                slow = answer["seconds"] > patience
                if slow:
                    finished.add(contender)
                if turn or slow:
                    kept = measured.setdefault(contender, Measured([], 0.0))
                    kept.seconds.append(answer["seconds"])
                    kept.megabytes, kept.note = answer["megabytes"], answer.get("note", "")
        for process in processes.values():
            process.kill()
    return {contender: measured[contender] for contender in pythons if contender in measured}


def command(python: Path | str, worker: str, name: str, file: str | None = None) -> list[str]:
    return [str(python), str(Path(__file__).resolve()), "--worker", worker, "--networks", name,
            *(["--file", file] if file else [])]


def ask(process: subprocess.Popen, line: str = "go") -> dict | None:
    """What the worker answers to a line: one pass of its network; None when it has ended."""
    try:
        process.stdin.write(f"{line}\n")
        process.stdin.flush()
    except OSError:
        with suppress(OSError):                                # it cannot take what is still buffered either
            process.stdin.close()
        return None
    for answer in process.stdout:
        if answer.startswith('{"seconds"'):                    # libraries print to stdout too
            return json.loads(answer)
    return None


def last_line(process: subprocess.Popen) -> str:
    process.kill()
    lines = process.stderr.read().strip().splitlines()
    return lines[-1] if lines else "it ended without a word"


# ---- Workers

def serve(contender: str, case: Case, file: Path | None) -> None:
    """A worker: for each line of stdin one pass, and a line {"seconds": ..., "megabytes": ..., "note": ...}."""
    if contender == "export":
        print(json.dumps({"file": str(exported(case))}), flush=True)
        return
    one_pass = prepared(contender, case, file)
    for _ in sys.stdin:
        start = time.perf_counter()
        one_pass()
        seconds = (time.perf_counter() - start) * getattr(one_pass, "scale", 1.0)
        note = getattr(one_pass, "note", "")
        print(json.dumps({"seconds": seconds, "megabytes": peak_megabytes(), "note": note}), flush=True)


def peak_megabytes() -> float:
    """This process's largest resident set, in MB of 1,000,000 bytes."""
    import resource
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e6


def prepared(contender: str, case: Case, file: Path | None):
    """One pass of one picture, as a function without arguments."""
    if contender == "paddlegan":
        skip_package_imports()
        return paddle_pass(their_network(case.network, case.size), case)
    if contender.startswith("torch"):
        return torch_pass(contender, case)
    if contender in ("onnx", "openvino"):
        return file_pass(contender, case, file)
    if contender == "mnn":
        return mnn_pass(case, file)
    if contender == LIMIT:
        return limit_pass(case, file)
    if contender == "auto":
        return auto_pass(case)
    return paddle_pass(predicted_network(case), case)


def suite_network(case: Case):
    """This suite's network with the same random weights in every process."""
    import ppgan_apps  # noqa: F401 - importing it settles Paddle's settings

    # isort: split
    import paddle
    paddle.seed(0)
    network = our_network(case.network, case.size)
    network.eval()
    return network


def predicted_network(case: Case):
    """The same as predictors run it with the engine paddle."""
    from ppgan_apps.predictors.strips import convolve_in_strips
    network = suite_network(case)
    convolve_in_strips(network)
    return network


def exported(case: Case) -> Path:
    """The network's file in the cache; what a predictor does when it first meets a network is done with it."""
    from ppgan_apps import engine_cache, engine_speed, engines
    key, network = f"{case.network}-{case.size}", suite_network(case)
    engine_speed.by_speed(network, engines.choose("auto", "cpu"), key)
    if case.network == "stylegan2":                            # what its predictor reads beside: see auto_pass
        import numpy as np
        np.savez(mapping_file(case), **{name: value.numpy() for name, value in network.state_dict().items()
                                        if name.startswith("style.")})
    return engine_cache.folder() / f"{key}.onnx"


def mapping_file(case: Case) -> Path:
    from ppgan_apps import engine_cache
    return engine_cache.folder() / f"{case.network}-{case.size}-mapping.npz"


def given(case: Case):
    """What the network is fed: z [1, 512], or a picture [1, 3, size, size]."""
    import numpy as np
    random = np.random.RandomState(0)
    if case.network == "stylegan2":
        return random.randn(1, 512).astype(np.float32)
    return random.uniform(-1, 1, (1, 3, case.size, case.size)).astype(np.float32)


def paddle_pass(network, case: Case):
    import paddle
    network.eval()
    array = given(case)

    def one_pass():
        with paddle.no_grad():
            tensor = paddle.to_tensor(array)
            drawn = network([tensor]) if case.network == "stylegan2" else network(tensor)
            return (drawn[0] if isinstance(drawn, (tuple, list)) else drawn).numpy()
    return one_pass


def auto_pass(case: Case):
    """As predictors draw: the network comes from the cache, a StyleGAN2's z becomes w in numpy, and Paddle has no part
    in it."""
    from ppgan_apps import engine_speed, engines
    array, key = given(case), f"{case.network}-{case.size}"
    name = engine_speed.known(key, engines.choose("auto", "cpu"))[0]
    one_pass = _auto_pass(case, name, key, array)
    one_pass.note = f"in {name}"
    return one_pass


def _auto_pass(case: Case, name: str, key: str, array):
    from ppgan_apps import engine_cache, engines
    if name == engines.PADDLE:
        return paddle_pass(predicted_network(case), case)
    opened = engine_cache.find(key, name)
    if case.network != "stylegan2":
        return lambda: opened(array)[0]
    import numpy as np

    from ppgan_apps.mapping import Mapping
    with np.load(mapping_file(case)) as state:
        mapping = Mapping(state, len(state.files) // 2)        # a weight and a bias of each layer
    return lambda: opened(mapping(array)[:, None])[0]


def file_pass(contender: str, case: Case, file: Path):
    """The exported file in a runtime as it is installed; a StyleGAN2 file takes w."""
    array = given(case)
    array = array[:, None] if case.network == "stylegan2" else array
    if contender == "openvino":
        import openvino
        compiled = openvino.Core().compile_model(str(file), "CPU")
        return lambda: compiled([array])[0]
    import onnxruntime
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    fed = {session.get_inputs()[0].name: array}
    return lambda: session.run(None, fed)[0]


def mnn_pass(case: Case, file: Path):
    """The exported file in MNN with as many threads as there are cores; a StyleGAN2 file takes w."""
    import MNN.expr
    import MNN.nn
    import numpy as np
    import onnxruntime
    array = given(case)
    array = array[:, None] if case.network == "stylegan2" else array
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    name, result = session.get_inputs()[0].name, session.get_outputs()[0].name
    wanted = session.run([result], {name: array})[0]
    del session
    with tempfile.TemporaryDirectory() as folder:
        converted = Path(folder) / "network.mnn"
        subprocess.run([sys.executable, "-c", "import sys, _tools; _tools.mnnconvert(sys.argv[1:])", "mnnconvert", "-f",
                        "ONNX", "--modelFile", str(file), "--MNNModel", str(converted), "--bizCode", "MNN"], check=True,
                       stdout=subprocess.DEVNULL)
        settings = {"backend": "CPU", "numThread": os.cpu_count(), "precision": "high"}
        network = MNN.nn.load_module_from_file(str(converted), [name], [result],
                                               runtime_manager=MNN.nn.create_runtime_manager((settings,)))

    def one_pass():
        given_array = MNN.expr.const(array, list(array.shape), MNN.expr.NCHW, MNN.expr.float)
        drawn = network.forward([given_array])[0]
        return np.array(MNN.expr.convert(drawn, MNN.expr.NCHW).read())
    found = one_pass().reshape(wanted.shape)
    difference = np.abs(found - wanted).max() / np.abs(wanted).max()
    one_pass.note = f"off from ONNX Runtime by {difference:.0e} of the largest value"
    return one_pass


def limit_pass(case: Case, file: Path):
    import numpy as np
    import onnx
    import onnxruntime

    from benchmarks.animegan_table import onnx_macs
    array, model = given(case), onnx.load(str(file))
    array = array[:, None] if case.network == "stylegan2" else array
    count = onnx_macs(onnx, onnxruntime, model, {model.graph.input[0].name: array}, file)
    factors = np.random.RandomState(0).rand(2, LIMIT_SIDE, LIMIT_SIDE).astype(np.float32)

    def one_pass():
        return factors[0] @ factors[1]
    one_pass.scale, one_pass.note = count / LIMIT_SIDE**3, f"has {count / 1e9:.1f} x 10^9 multiplications"
    return one_pass


def torch_pass(contender: str, case: Case):
    import torch

    from benchmarks import torch_networks
    torch.manual_seed(0)
    network, tensor = torch_networks.build(case.network, case.size), torch.from_numpy(given(case))
    if contender in ("torch-last", "torch-tuned"):
        network = network.to(memory_format=torch.channels_last)
        tensor = tensor.to(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor
    if contender == "torch-compiled":
        network = torch.compile(network)

    def one_pass():
        with torch.inference_mode():
            return network(tensor).numpy()
    return one_pass


# ---- Report

def table(measured: dict[str, dict[str, Measured]], contenders: list[str]) -> list[str]:
    """Markdown: a line per network; median (fastest - slowest) in seconds; and how ours compares."""
    peers = [name for name in contenders if name not in (BASELINE, "paddle", OURS, LIMIT)]
    lines = [f"| Network | {' | '.join(CONTENDERS[name] for name in contenders)} | {CONTENDERS[BASELINE]} / auto | "
             f"{CONTENDERS[BASELINE]} / engine paddle | {CONTENDERS[BASELINE]} / {CONTENDERS[LIMIT]} | "
             "best peer / auto |", "|---|" + "---|" * (len(contenders) + 4)]
    for name, of_contender in measured.items():
        medians = {contender: statistics.median(got.seconds) for contender, got in of_contender.items()}
        best = min((medians[peer] for peer in peers if peer in medians), default=None)
        ratios = [ratio(medians.get(BASELINE), medians.get(OURS)), ratio(medians.get(BASELINE), medians.get("paddle")),
                  ratio(medians.get(BASELINE), medians.get(LIMIT)), ratio(best, medians.get(OURS), 2)]
        cells = [times(of_contender[contender].seconds) if contender in of_contender else "-"
                 for contender in contenders]
        lines.append(f"| {' | '.join([CASES[name].label, *cells, *ratios])} |")
    return lines


def times(seconds: list[float]) -> str:
    median = f"{statistics.median(seconds):.3f}"
    return median if len(seconds) == 1 else f"{median} ({min(seconds):.3f} - {max(seconds):.3f})"


def ratio(over: float | None, under: float | None, digits: int = 1) -> str:
    return f"{over / under:.{digits}f}x" if over and under else "-"


def memory_table(measured: dict[str, dict[str, Measured]], contenders: list[str]) -> list[str]:
    lines = [f"| Network | {' | '.join(CONTENDERS[name] for name in contenders)} |",
             "|---|" + "---|" * len(contenders)]
    for name, of_contender in measured.items():
        cells = [f"{of_contender[each].megabytes:.0f}" if each in of_contender else "-" for each in contenders]
        lines.append(f"| {' | '.join([CASES[name].label, *cells])} |")
    return lines


def markdown(measured: dict[str, dict[str, Measured]], contenders: list[str], rounds: int) -> str:
    """The report's section."""
    versions = []
    for package in ("paddlepaddle", "onnxruntime", "openvino"):
        try:
            versions.append(f"{package} {version(package)}")
        except ModuleNotFoundError:
            continue
    return "\n".join([
        HEADING, "",
        "Written by `python benchmarks/compare_engines.py`, whose `--help` says who the contenders are; do not edit.",
        f"One picture, random weights, seconds: median (fastest - slowest) of {rounds} passes, or the only pass where",
        "it took long. The processes took turns: compare along a line, not with another machine.", "",
        f"{date.today().isoformat()}, {processor()}, {os.cpu_count()} cores, load average {os.getloadavg()[2]:.1f}, "
        f"Python {platform.python_version()}, {', '.join(versions)}.", "",
        *table(measured, contenders), "",
        f"![How many times faster than {CONTENDERS[BASELINE]} each contender is]({PLOT.as_posix()})", "",
        "Largest resident set of each process, libraries and weights included, MB:", "",
        *memory_table(measured, [name for name in contenders if name != LIMIT]), "", *notes(measured), ""])


def notes(measured: dict[str, dict[str, Measured]]) -> list[str]:
    """A line per contender that said something of itself: which engine auto was, how far off a result is."""
    said: dict[str, list[str]] = {}
    for name, of_contender in measured.items():
        for contender, got in of_contender.items():
            if got.note:
                said.setdefault(contender, []).append(f"{CASES[name].label} {got.note}")
    return [f"- {CONTENDERS[contender]}: {'; '.join(texts)}." for contender, texts in said.items()]


def draw(measured: dict[str, dict[str, Measured]], contenders: list[str], path: Path) -> None:
    """Bars: how many times faster than PaddleGAN (or than the slowest, without it) each contender is."""
    try:
        import matplotlib
    except ImportError:
        print("matplotlib is not installed: no plot is drawn.", file=sys.stderr)
        return
    matplotlib.use("Agg")
    from matplotlib import pyplot
    figure, axes = pyplot.subplots(figsize=(9, 1.2 + 0.22 * len(measured) * len(contenders)), layout="constrained")
    height = 0.86 / len(contenders)
    for place, contender in enumerate(contenders):
        spots, widths = [], []
        for line, of_contender in enumerate(measured.values()):
            if contender in of_contender:
                medians = {name: statistics.median(got.seconds) for name, got in of_contender.items()}
                spots.append(line + place * height)
                widths.append(medians.get(BASELINE, max(medians.values())) / medians[contender])
        bars = axes.barh(spots, widths, height * 0.92, label=CONTENDERS[contender])
        axes.bar_label(bars, [f"{width:.1f}" for width in widths], padding=2, fontsize=7)
    axes.set_yticks([line + 0.43 - height / 2 for line in range(len(measured))],
                    [CASES[name].label for name in measured])
    axes.invert_yaxis()
    axes.set_xlabel(f"times faster than {CONTENDERS[BASELINE]}")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right upper", fontsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


if __name__ == "__main__":
    sys.exit(main())
