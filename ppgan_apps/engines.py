"""Networks in other formats and their runtimes: ONNX files by ONNX Runtime or OpenVINO, Paddle programs by
paddle.inference; and which of them runs the suite's own networks.

All are called with arrays and give arrays, and say of themselves in `about` what the suite wrote into them.
"""
from __future__ import annotations

import importlib.util
import json
import mmap
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from .errors import ConfigError, MissingExtra, WeightsError
from .protobuf import fields
from .runtime import returning_freed_memory
from .weights import checked_about

# Paddle 3 writes a program as .json, Paddle 2 as .pdmodel; the weights lie beside it.
PROGRAM_SUFFIXES, WEIGHTS_SUFFIX = (".json", ".pdmodel"), ".pdiparams"
ABOUT_FILE = "about.json"                    # in the folder of an exported Paddle program
PADDLE, ONNX, OPENVINO = "paddle", "onnx", "openvino"
ENGINES = ("auto", PADDLE, ONNX, OPENVINO)
# Those for a processor by falling speed, and the package that each needs besides onnx, with which networks are written.
PACKAGES = {OPENVINO: "openvino", ONNX: "onnxruntime"}


def choose(engine: str = "auto", device: str = "cpu") -> list[str]:
    """The engines that are tried for a network of the suite, of "openvino", "onnx" and "paddle": the first that can
    run it does.

    "auto" is what PPGAN_APPS_ENGINE says, else Paddle on a GPU, and on a processor those that are installed. Raises
    ConfigError for another name, or for one that cannot use the device.
    """
    engine = stated(engine)
    on_gpu = device.startswith("gpu")
    if engine == "auto":
        return [PADDLE] if on_gpu else [*(name for name in PACKAGES if installed(name)), PADDLE]
    if on_gpu and engine != PADDLE:
        raise ConfigError(f"The engine {engine} draws on the processor and the device is {device}: use the engine "
                          "paddle, or the device cpu.")
    return [engine]


def stated(engine: str) -> str:
    """`engine`, or for "auto" what PPGAN_APPS_ENGINE says. Raises ConfigError for a name that is none."""
    name = engine if engine != "auto" else os.environ.get("PPGAN_APPS_ENGINE") or "auto"
    if name not in ENGINES:
        source = "" if name == engine else " in PPGAN_APPS_ENGINE"
        raise ConfigError(f"There is no engine '{name}'{source}: use {', '.join(ENGINES)}.")
    return name


def brought_by(network) -> str | None:
    """The engine of a network that comes with its own, an ONNX file or a Paddle program; None for a Layer."""
    return getattr(network, "engine", None)


def installed(engine: str) -> bool:
    """Whether the packages are there that the engine needs; nothing is imported."""
    return engine == PADDLE or all(importlib.util.find_spec(name) for name in ("onnx", PACKAGES[engine]))


def threads() -> int:
    """How many threads a network is run with: OMP_NUM_THREADS, which runtime.py sets to the cores there are."""
    try:
        return max(1, int(os.environ.get("OMP_NUM_THREADS", "1")))
    except ValueError:                                         # OpenMP also takes a list, one number per level
        return 1


def is_exported(path: str | Path) -> bool:
    """Whether `path` is an ONNX file or a Paddle program: its folder, its .json or .pdmodel, or its .pdiparams."""
    path = Path(path).expanduser()
    if path.suffix == ".onnx":
        return True
    return (path.suffix in (*PROGRAM_SUFFIXES, WEIGHTS_SUFFIX) and path.is_file()) or (
        path.is_dir() and any(path.glob(f"*{WEIGHTS_SUFFIX}")))


def open_network(path: str | Path, device: str = "cpu") -> ExportedNetwork:
    """The network in an ONNX file or a Paddle program. Raises WeightsError, MissingExtra."""
    path = Path(path).expanduser()
    return OnnxNetwork(path) if path.suffix == ".onnx" else PaddleProgram(path, device)


class ExportedNetwork:
    """What both kinds have: `inputs` and `outputs` by name, and `about`, the metadata."""

    engine: str                                                # which of ENGINES runs it
    path: Path
    inputs: dict[str, list]
    about: dict[str, Any]

    @property
    def arguments(self) -> dict[str, Any]:
        """The network's constructor arguments, as a Layer of the suite states them; {} where the file does not."""
        return dict(self.about.get("network") or {})

    def __call__(self, *arrays: np.ndarray) -> list[np.ndarray]:
        raise TypeError(f"{type(self).__name__} does not say how it runs.")

    def run_once(self, *arrays: np.ndarray) -> list[np.ndarray]:
        """As a call, and the memory that it took is given back where the runtime can: another call would be slower."""
        return self(*arrays)


class OnnxNetwork(ExportedNetwork):
    """An ONNX file run by ONNX Runtime on the processor.

    `inputs` and `outputs` give names and shapes (a text or None is a size that varies), `about` the metadata.
    Raises WeightsError when there is no such file or ONNX Runtime cannot run it, MissingExtra without onnxruntime.
    """

    engine = ONNX

    def __init__(self, path: str | Path):
        self.path = Path(path)
        if not self.path.is_file():
            raise WeightsError(f"There is no ONNX file {self.path}: check the path.")
        self._session = onnx_session(self.path)
        try:
            self.inputs = {given.name: list(given.shape) for given in self._session.get_inputs()}
            self.outputs = {given.name: list(given.shape) for given in self._session.get_outputs()}
            texts = self._session.get_modelmeta().custom_metadata_map
        except UnicodeDecodeError as error:
            raise no_text(self.path, error) from error
        self.about = parsed(texts, self.path)

    def __call__(self, *arrays: np.ndarray) -> list[np.ndarray]:
        """Every output for float32 NCHW arrays (or whatever the file takes), one array per input.

        Raises WeightsError for sizes that the network does not take.
        """
        try:
            return self._session.run(None, dict(zip(self.inputs, arrays, strict=True)))
        except Exception as error:
            raise _unsuited(self.path, arrays, error) from error


    def run_once(self, *arrays: np.ndarray) -> list[np.ndarray]:
        import onnxruntime
        options = onnxruntime.RunOptions()
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        try:
            return self._session.run(None, dict(zip(self.inputs, arrays, strict=True)), options)
        except Exception as error:
            raise _unsuited(self.path, arrays, error) from error


class OpenVinoNetwork(ExportedNetwork):
    """An ONNX file of the suite's own run by OpenVINO on the processor; used as an OnnxNetwork.

    Args:
        cache: a folder in which OpenVINO keeps what it made of the file, so that it opens faster the next time.
    Raises WeightsError when OpenVINO cannot run the file, MissingExtra without it.
    """

    engine = OPENVINO

    def __init__(self, path: str | Path, cache: Path | None = None):
        try:
            import openvino
        except ImportError:
            raise MissingExtra("openvino", "openvino", "The engine openvino") from None
        self.path = Path(path)
        settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads(),
                    "INFERENCE_PRECISION_HINT": "f32"}         # newer processors would round to bfloat16 otherwise
        if cache is not None:
            settings["CACHE_DIR"] = str(cache)
        try:
            with returning_freed_memory():
                self._compiled = openvino.Core().compile_model(str(self.path), "CPU", settings)
        except RuntimeError as error:
            raise WeightsError(f"OpenVINO cannot run {self.path} ({one_line(error)}): use another engine."
                               ) from error
        self.inputs = {port.any_name: _free_sizes(port.partial_shape) for port in self._compiled.inputs}
        self.outputs = {port.any_name: _free_sizes(port.partial_shape) for port in self._compiled.outputs}
        self.about: dict[str, Any] = {}
        self._one_at_a_time = threading.Lock()                 # a compiled model holds the memory of a single run

    def __call__(self, *arrays: np.ndarray) -> list[np.ndarray]:
        """As OnnxNetwork's."""
        try:
            with self._one_at_a_time:
                results = self._compiled(dict(zip(self.inputs, arrays, strict=True)), share_inputs=True)
                return [np.array(results[port]) for port in self._compiled.outputs]
        except (RuntimeError, ValueError) as error:
            raise _unsuited(self.path, arrays, error) from error


    def run_once(self, *arrays: np.ndarray) -> list[np.ndarray]:
        results = self(*arrays)
        if hasattr(self._compiled, "release_memory"):          # from OpenVINO 2025 on
            with self._one_at_a_time:
                self._compiled.release_memory()
        return results


def _free_sizes(shape) -> list[int | None]:
    return [None if size.is_dynamic else size.get_length() for size in shape]


class PaddleProgram(ExportedNetwork):
    """A Paddle inference program (paddle.jit.save) run by paddle.inference; used as an OnnxNetwork.

    Args:
        path: the folder that holds it, or the program's or the weights' file.
        device: "cpu", or "gpu:N".
    oneDNN is off, since Paddle 3.3's fails on enlarging and on transposed convolutions. Raises WeightsError.
    """

    engine = PADDLE

    def __init__(self, path: str | Path, device: str = "cpu"):
        from .runtime import import_paddle
        import_paddle()
        from paddle import inference
        self.path = Path(path)
        self._lock = threading.Lock()
        program, weights = _program_files(self.path)
        config = inference.Config(str(program), str(weights))
        config.disable_glog_info()
        if device.startswith("gpu"):
            config.enable_use_gpu(256, int(device.partition(":")[2] or 0))
        else:
            config.disable_gpu()
            config.set_cpu_math_library_num_threads(threads())
        for switch in ("disable_onednn", "disable_mkldnn"):    # its name in Paddle 3 and before
            if hasattr(config, switch):
                getattr(config, switch)()
        try:
            with _without_onednn():
                self._predictor = inference.create_predictor(config)
        except Exception as error:                             # whatever Paddle's C++ makes of a damaged file
            raise WeightsError(f"Paddle cannot run the program {program} ({one_line(error)}): export it again with "
                               "this Paddle.") from error
        self.inputs = {name: list(self._predictor.get_input_handle(name).shape())
                       for name in self._predictor.get_input_names()}
        self.outputs = dict.fromkeys(self._predictor.get_output_names())
        about = program.parent / ABOUT_FILE
        self.about = _read_about(about) if about.is_file() else {}

    def __call__(self, *arrays: np.ndarray) -> list[np.ndarray]:
        """As OnnxNetwork's; one thread at a time, since Paddle keeps inputs and outputs in the program itself."""
        try:
            with self._lock:
                for name, array in zip(self.inputs, arrays, strict=True):
                    handle = self._predictor.get_input_handle(name)
                    handle.reshape(array.shape)
                    handle.copy_from_cpu(np.ascontiguousarray(array))
                with _without_onednn():
                    self._predictor.run()
                return [self._predictor.get_output_handle(name).copy_to_cpu() for name in self.outputs]
        except Exception as error:
            raise _unsuited(self.path, arrays, error) from error


def _read_about(path: Path) -> dict[str, Any]:
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path} is damaged ({error}): export the network again.") from error
    if not isinstance(about, dict):
        raise WeightsError(f"{path} holds a {type(about).__name__} and no names with values: export it again.")
    return checked_about(about, path)


_flags = threading.Lock()                    # they are the process's, so that one thread at a time may change them


@contextmanager
def _without_onednn():
    """Within the block Paddle's programs do without oneDNN, whatever the process runs its other networks with."""
    import paddle
    # The switch's name in Paddle 3 and before; a build may know either.
    with _flags:
        flags = {name: value for flag in ("FLAGS_use_onednn", "FLAGS_use_mkldnn")
                 for name, value in _flag(paddle, flag).items()}
        paddle.set_flags(dict.fromkeys(flags, False))
        try:
            yield
        finally:
            paddle.set_flags(flags)


def _flag(paddle, name: str) -> dict:
    try:
        return paddle.get_flags(name)
    except ValueError:
        return {}


# Where tensors stand in the messages of an ONNX file (onnx.proto): the fields to follow from each kind of message.
_ONNX_PLACES = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}
_MAX_ONNX_DEPTH = 200                        # messages in messages; a graph in a node counts three


def check_external_data(path: Path) -> None:
    """Raises WeightsError when an ONNX file keeps its weights elsewhere than beside it, or is none.

    Such a file could have any other file of the machine read as weights, and shown as a picture.
    """
    try:
        with path.open("rb") as file:
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        names = {str(name, "utf-8", "replace") for name in _external_files(data)}
    except OSError as error:
        raise WeightsError(f"The ONNX file {path} cannot be read ({error.strerror or error}): check the path."
                           ) from error
    except ValueError as error:
        raise WeightsError(f"{path} is no ONNX file, or a damaged one ({error}): unpack it, or download it again."
                           ) from error
    for name in names:
        plain = name not in ("", ".", "..") and PurePosixPath(name).name == name and not set(name) & set("\\\0")
        if not plain or (path.parent / name).is_symlink():
            raise WeightsError(f"{path} wants to read {name[:100]!r}, which is no file beside it: refused.")


def _external_files(data: memoryview) -> Iterator[memoryview]:
    """The values called "location" of all tensors in the messages of an ONNX file. Raises ValueError."""
    waiting = [("model", data, 0)]
    while waiting:
        kind, message, depth = waiting.pop()
        if depth > _MAX_ONNX_DEPTH:
            raise ValueError("its graphs are nested too deeply")
        for number, value in fields(message):
            inside = _ONNX_PLACES[kind].get(number)
            if inside and isinstance(value, int):
                raise ValueError("a message makes no sense")
            if inside == "entry":
                entry = dict(fields(value))                    # 1: the key, 2: the value
                name = entry.get(2, b"")
                if entry.get(1) == b"location" and not isinstance(name, int):
                    yield memoryview(name)
            elif inside:
                waiting.append((inside, memoryview(value), depth + 1))


def onnx_session(path: Path, device: str = "cpu"):
    """ONNX Runtime's session of a file, on a GPU where asked for and built in. Raises WeightsError, MissingExtra."""
    try:
        import onnxruntime
    except ImportError:
        raise MissingExtra("onnxruntime", "onnx", "Running an ONNX file") from None
    check_external_data(path)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4                             # what is wrong is in the exception
    options.intra_op_num_threads = threads()
    wanted = ["CUDAExecutionProvider"] if device.startswith("gpu") else []
    providers = [name for name in (*wanted, "CPUExecutionProvider") if name in onnxruntime.get_available_providers()]
    try:
        with returning_freed_memory():
            return onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:                                 # onnxruntime's errors have no common base but this
        reason = one_line(error)
        if "xternal data" in reason:
            raise WeightsError(f"{path} keeps its weights in a file beside it, which is missing or damaged ({reason}): "
                               "put it there.") from error
        if type(error).__name__ == "InvalidProtobuf" or "No graph" in reason:
            raise WeightsError(f"{path} is no ONNX file, or a damaged one: unpack it, or download it again.") from error
        raise WeightsError(f"ONNX Runtime cannot run {path} ({reason}): export it again, or update onnxruntime."
                           ) from error


def _program_files(path: Path) -> tuple[Path, Path]:
    """The program and the weights that belong together."""
    if path.is_dir():
        found = sorted(path.glob(f"*{WEIGHTS_SUFFIX}"))
        if len(found) != 1:
            raise WeightsError(f"The folder {path} holds {len(found)} Paddle programs: name the one by its file.")
        path = found[0]
    weights = path.with_suffix(WEIGHTS_SUFFIX)
    programs = [path.with_suffix(suffix) for suffix in PROGRAM_SUFFIXES if path.with_suffix(suffix).is_file()]
    if not programs or not weights.is_file():
        raise WeightsError(f"{path} is half a Paddle program: {path.stem}.json (or .pdmodel) and {path.stem}.pdiparams "
                           "belong beside each other.")
    return programs[0], weights


def parsed(texts: Mapping[str, str], path: Path) -> dict[str, Any]:
    """Metadata of texts: what is JSON as its value, the rest as it is. Raises WeightsError for what makes no sense."""
    about = {}
    for name, text in texts.items():
        try:
            about[name] = json.loads(text)
        except (ValueError, RecursionError):                   # no JSON, or deeper than anything that the suite writes
            about[name] = text
    return checked_about(about, path)


def no_text(path: Path, error: UnicodeDecodeError) -> WeightsError:
    """What to raise for an ONNX file whose names are no text; ONNX Runtime decodes them when they are asked for."""
    return WeightsError(f"{path} has names that are no text ({one_line(error)}): it is damaged, download it again.")


def _unsuited(path: Path, arrays: tuple[np.ndarray, ...], error: BaseException) -> WeightsError:
    sizes = " and ".join("x".join(map(str, np.shape(array))) for array in arrays)
    return WeightsError(f"{path} cannot be run on {sizes} ({one_line(error)}): give it sizes that it was made for.")


def one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
