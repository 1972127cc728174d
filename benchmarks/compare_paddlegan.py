"""Times this suite's generators against PaddleGAN's own on this CPU, in one run, and writes docs/benchmarks.md.

    python benchmarks/compare_paddlegan.py

Three processes stay open, and each network is timed in them in turn, one forward pass at a time, so that whatever else
the machine does falls on all three alike:

- "PaddleGAN": the networks of the package ppgan 2.1.0 with Paddle as installed;
- "PaddleGAN, our settings": the same networks after `ppgan_apps.runtime.settle()` (threads, CPU flags, allocator);
- "ppgan_apps": this suite's networks as `import ppgan_apps` leaves them.

Weights are random: time does not depend on them, and tests/networks checks that equal weights give equal outputs.
ppgan goes into an environment of its own, `.venv-paddlegan`, made at the first run; --paddlegan-python names another.
"""
from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import time
import types
from contextlib import ExitStack
from datetime import date
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))                                  # runs from a clone without being installed

from benchmarks.report import processor, replace_section  # noqa: E402

PPGAN = "ppgan==2.1.0"
# What the four network files of ppgan import; its own list pins packages that no longer build.
PPGAN_NEEDS = ["opencv-python-headless", "dlib-bin", "requests", "easydict", "munch", "natsort", "imageio", "six",
               "scikit-learn", "scikit-image", "matplotlib", "tqdm", "pyyaml", "scipy"]
NETWORKS = {
    "animeganv2": "AnimeGANv2 generator, 256 px",
    "photo2cartoon": "Photo2Cartoon generator, 256 px",
    "stylegan2": "StyleGAN2 generator, 256 px",
    "unet": "U-Net 256 (pix2pix)",
}
WORKERS = {"paddlegan": "PaddleGAN", "paddlegan-settled": "PaddleGAN, our settings", "ours": "ppgan_apps"}
BASELINE, SETTLED, OURS = "paddlegan", "paddlegan-settled", "ours"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="timed passes per network and process (default 7)")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--paddlegan-python", type=Path, help="a Python that has paddle and ppgan")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "benchmarks.md")
    parser.add_argument("--worker", choices=WORKERS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        serve(arguments.worker)
        return
    theirs = arguments.paddlegan_python or paddlegan_environment()
    seconds = measure(theirs, arguments.networks, arguments.rounds)
    report = markdown(seconds, arguments.rounds)
    replace_section(arguments.output, report)
    print(report)


def paddlegan_environment() -> Path:
    """The Python of `.venv-paddlegan`, made with the paddlepaddle that runs here if it is not there yet."""
    folder = ROOT / ".venv-paddlegan"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    ready = folder / "ready"
    if not ready.exists():
        pip = [str(python), "-m", "pip", "install", "--quiet"]
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([*pip, f"paddlepaddle=={version('paddlepaddle')}", *PPGAN_NEEDS], check=True)
        subprocess.run([*pip, "--no-deps", PPGAN], check=True)
        ready.touch()
    return python


def measure(theirs: Path, networks: list[str], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Seconds of each timed pass: {network: {worker: [...]}}. Two passes before them are not counted."""
    pythons = {name: sys.executable if name == OURS else theirs for name in WORKERS}
    with ExitStack() as stack:
        workers = {name: stack.enter_context(worker(python, name)) for name, python in pythons.items()}
        seconds = {network: {name: [] for name in WORKERS} for network in networks}
        for network in networks:
            for index in range(rounds + 2):
                for name, process in workers.items():
                    elapsed = ask(process, network)
                    if index >= 2:
                        seconds[network][name].append(elapsed)
            print(f"{network}: done", file=sys.stderr)
        return seconds


def worker(python: Path | str, name: str) -> subprocess.Popen:
    return subprocess.Popen([str(python), str(Path(__file__).resolve()), "--worker", name], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment())


def environment() -> dict[str, str]:
    """This process's environment without what tunes Paddle, so that each worker starts as it would by itself."""
    tuned = ("OMP_", "MKL_", "FLAGS_", "MALLOC_", "PPGAN_APPS_TUNE")
    return {key: value for key, value in os.environ.items() if not key.startswith(tuned)}


def ask(process: subprocess.Popen, network: str) -> float:
    process.stdin.write(network + "\n")
    process.stdin.flush()
    for line in process.stdout:
        if line.startswith("{"):                               # Paddle prints to stdout too
            return json.loads(line)["seconds"]
    raise SystemExit(f"The worker '{process.args[-1]}' stopped at '{network}': run it by hand to see why: "
                     f"echo {network} | {' '.join(process.args)}")


def serve(name: str) -> None:
    """A worker: for each network named on a line of stdin, times one forward pass and prints {"seconds": ...}."""
    if name == OURS:
        import ppgan_apps  # noqa: F401 - importing it settles Paddle's settings
    elif name == "paddlegan-settled":
        load_runtime().settle()
    import paddle
    build = our_network if name == OURS else their_network
    if name != OURS:
        skip_package_imports()
    passes = {}
    for line in sys.stdin:
        network = line.strip()
        if network not in passes:
            passes[network] = forward(build(network), network)
        with paddle.no_grad():
            start = time.perf_counter()
            passes[network]()
            print(json.dumps({"seconds": time.perf_counter() - start}), flush=True)


def load_runtime():
    """ppgan_apps/runtime.py alone, so that PaddleGAN's environment needs none of our requirements."""
    specification = importlib.util.spec_from_file_location("runtime", ROOT / "ppgan_apps" / "runtime.py")
    runtime = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(runtime)
    return runtime


def skip_package_imports() -> None:
    """Puts bare modules in the place of ppgan's packages: their __init__ files import every model, and one of those
    imports paddle.fluid, which Paddle 2.5 dropped. The network files themselves run."""
    root = Path(importlib.util.find_spec("ppgan").submodule_search_locations[0])
    for name in ("models", "models.generators"):
        module = types.ModuleType(f"ppgan.{name}")
        module.__path__ = [str(root.joinpath(*name.split(".")))]
        sys.modules[f"ppgan.{name}"] = module


def their_network(network: str, size: int = 256):
    generators = "ppgan.models.generators."
    if network == "animeganv2":
        return importlib.import_module(generators + "generater_animegan").AnimeGenerator()
    if network == "photo2cartoon":
        return importlib.import_module(generators + "resnet_ugatit_p2c").ResnetUGATITP2CGenerator()
    if network == "stylegan2":
        return importlib.import_module(generators + "generator_styleganv2").StyleGANv2Generator(size, 512, 8)
    return importlib.import_module(generators + "unet").UnetGenerator(3, 3, 8, 64)


def our_network(network: str, size: int = 256):
    if network == "animeganv2":
        from ppgan_apps.networks.animeganv2 import AnimeGANv2Generator
        return AnimeGANv2Generator()
    if network == "photo2cartoon":
        from ppgan_apps.networks.photo2cartoon import Photo2CartoonGenerator
        return Photo2CartoonGenerator()
    if network == "stylegan2":
        from ppgan_apps.networks.stylegan2 import StyleGAN2Generator
        return StyleGAN2Generator(size, 512, 8)
    from ppgan_apps.networks.unet import UnetGenerator
    return UnetGenerator()


def forward(net, network: str):
    """One forward pass of one image, as a function without arguments."""
    import paddle
    net.eval()
    if network == "stylegan2":
        z = paddle.randn([1, 512])
        return lambda: net([z])
    x = paddle.rand([1, 3, 256, 256]) * 2 - 1                  # [1, 3, 256, 256]
    return lambda: net(x)


def markdown(seconds: dict[str, dict[str, list[float]]], rounds: int) -> str:
    lines = [
        "# Speed beside PaddleGAN",
        "",
        "Written by `python benchmarks/compare_paddlegan.py`; do not edit. One image, one pass, random weights.",
        f"Each cell: median (fastest - slowest) of {rounds} passes in seconds. The processes take turns, so",
        "another load on the machine falls on all alike; compare along a line rather than with another machine.",
        "",
        f"{date.today().isoformat()}, {processor()}, {os.cpu_count()} cores, load average {os.getloadavg()[2]:.1f},",
        f"Python {platform.python_version()}, paddlepaddle {version('paddlepaddle')}, {PPGAN.replace('==', ' ')}.",
        "",
        "| Network | " + " | ".join(WORKERS.values()) + " | PaddleGAN / ppgan_apps | of that, networks |",
        "|---|" + "---|" * (len(WORKERS) + 2),
    ]
    for network, of_worker in seconds.items():
        medians = {name: statistics.median(times) for name, times in of_worker.items()}
        cells = [f"{medians[name]:.2f} ({min(times):.2f} - {max(times):.2f})" for name, times in of_worker.items()]
        ratios = [f"{medians[name] / medians[OURS]:.1f}x" for name in (BASELINE, SETTLED)]
        lines.append(f"| {' | '.join([NETWORKS[network], *cells, *ratios])} |")
    return "\n".join(lines) + """

The last column is the part that our network code gains by itself, under equal settings; the rest comes from
`ppgan_apps/runtime.py` (threads, MKL's path on AMD, oneDNN, glibc's allocator). PaddleGAN's networks are run from their
own files: `import ppgan.models` fails on Paddle 2.5 and later, because it imports `paddle.fluid`.
"""


if __name__ == "__main__":
    main()
