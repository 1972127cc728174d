"""Device, threads and CPU flags, settled before Paddle is imported. Each can be switched off by its environment name.

Measured on two AMD cores with Paddle 3.3.1, AnimeGANv2 at 256 px: threads, the MKL path and the allocator together are
3.7 times faster than Paddle as installed.
"""
import contextlib
import ctypes
import importlib.util
import io
import os
import platform
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

# glibc's mallopt parameters (malloc.h), and what the first two are unless they are set.
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8
_USUAL_THRESHOLD, _USUAL_MAX = 128 * 1024, 65536
_TWO_GIB = 2**31 - 1


class Setting(NamedTuple):
    """One thing that `settle` sets for the process, by the environment name under which the user's own value wins."""
    name: str
    value: str                                                 # ours
    why: str
    off: str                                                   # how to do without it


# From 1.29 on ONNX Runtime tells Microsoft of every process and network that it runs for, and leaves a file .ses in the
# temporary folder. Read when it is imported.
NO_TELEMETRY = Setting("ORT_DISABLE_TELEMETRY", "1", "ONNX Runtime would report to its maker over the network",
                       "ORT_DISABLE_TELEMETRY=0")


def settings() -> tuple[Setting, ...]:
    """What `settle` sets, in this order. The allocator's two are set by mallopt, the others in the environment."""
    cores = str(_usable_cores())
    mkl_path = [Setting("MKL_DEBUG_CPU_TYPE", "5", "the bundled MKL takes a slow path on AMD otherwise",
                        "MKL_DEBUG_CPU_TYPE=")] if is_amd() else []
    return (
        Setting("OMP_NUM_THREADS", cores, "Paddle uses one thread unless told", "OMP_NUM_THREADS=1"),
        Setting("MKL_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", cores), "the same for MKL", "MKL_NUM_THREADS=1"),
        *mkl_path,
        Setting("FLAGS_use_onednn", "1", "faster 1x1 and small convolutions", "FLAGS_use_onednn=0"),
        Setting("FLAGS_use_mkldnn", "1", "the same switch's name before Paddle 3", "FLAGS_use_mkldnn=0"),
        Setting("GLOG_minloglevel", "2", "Paddle's notices are for its developers", "GLOG_minloglevel=0"),
        NO_TELEMETRY,
        Setting("MALLOC_MMAP_MAX_", "0", "large blocks are kept and used again, not given back to the kernel",
                "MALLOC_MMAP_MAX_=65536"),
        Setting("MALLOC_TRIM_THRESHOLD_", str(_TWO_GIB), "the same for the end of the heap",
                "MALLOC_TRIM_THRESHOLD_=131072"),
    )


def is_amd(processors: str | None = None) -> bool:
    """Whether the processor is AMD's, by a text like /proc/cpuinfo.

    Path 5 is MKL's code for AVX2. On Intel MKL takes the right path by itself, and 5 would keep it from AVX-512:
    products of 1024 x 1024 matrices took 37 instead of 22 ms on a Xeon at 2.5 GHz, and with 0, the slowest path, 115.
    """
    if processors is None:
        try:
            processors = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        except OSError:                                        # no Linux
            processors = platform.processor()
    return "AuthenticAMD" in processors


def tuned() -> bool:
    """Whether anything is set at all: not with PPGAN_APPS_TUNE=0."""
    return os.environ.get("PPGAN_APPS_TUNE", "1") != "0"


def settle() -> None:
    """Sets threads, MKL path, oneDNN and allocator for this process. A value that the user has set is left alone;
    `PPGAN_APPS_TUNE=0` leaves everything as Paddle has it, but for ONNX Runtime's reports, which stay off."""
    _load_first_what_paddle_hides()
    os.environ.setdefault(NO_TELEMETRY.name, NO_TELEMETRY.value)
    if not tuned():
        return
    for setting in settings():
        if not setting.name.startswith("MALLOC_"):             # glibc has read those already
            os.environ.setdefault(setting.name, setting.value)
    _keep_freed_memory()


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def keeps_freed_memory() -> bool:
    """Whether the allocator's settings are ours to make: with glibc, and no value of the user's."""
    return (sys.platform.startswith("linux") and hasattr(ctypes.CDLL(None), "mallopt")       # musl has none
            and not {"MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_"} & set(os.environ))


def _keep_freed_memory() -> None:
    """Else glibc returns every large block to the kernel after each operator, which clears it again: twice the time.
    `MALLOC_TRIM_THRESHOLD_` or `MALLOC_MMAP_MAX_` set by the user win."""
    if keeps_freed_memory():
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, _TWO_GIB)


@contextmanager
def returning_freed_memory() -> Iterator[None]:
    """Within the block large blocks that are freed go back to the kernel, as they do without this suite: for opening a
    network, which holds its file several times over for a moment. A U-Net in ONNX Runtime took 727 MB, so 397."""
    if not (tuned() and keeps_freed_memory()):
        yield
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(_M_MMAP_MAX, _USUAL_MAX)
    libc.mallopt(_M_TRIM_THRESHOLD, _USUAL_THRESHOLD)
    try:
        yield
    finally:
        libc.malloc_trim(0)
        _keep_freed_memory()


def share_arenas(count: int = 2) -> None:
    """Lets all threads take their memory from `count` heaps instead of up to eight a core, for a process of many.

    As freed memory is kept, each heap would grow to the most that it ever held. `MALLOC_ARENA_MAX` set by the user
    wins. To be called before the threads begin."""
    if keeps_freed_memory() and "MALLOC_ARENA_MAX" not in os.environ:
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, count)


def _load_first_what_paddle_hides() -> None:
    """What must be in the process before Paddle is: a libgomp, and under Paddle 2.6 zlib and numpy.random.

    Paddle 2.6 exports zlib's symbols, so Python's own zlib and numpy's must be loaded before it or they crash.
    """
    found = importlib.util.find_spec("paddle")
    if found is None or not found.submodule_search_locations:
        return
    folder = Path(found.submodule_search_locations[0])
    version = folder / "version" / "__init__.py"
    if version.is_file() and re.search(r"^full_version\s*=\s*'2\.", version.read_text(), re.MULTILINE):
        import zlib  # noqa: F401

        import numpy.random  # noqa: F401
    if sys.platform.startswith("linux"):
        _provide_libgomp(folder / "libs")


def _provide_libgomp(libraries: Path) -> None:
    """Lets Paddle load where the system has no libgomp.so.1, as on a bare Debian or Ubuntu.

    Paddle's oneDNN asks for that name, and Paddle's own libiomp5.so has all its symbols. So oneDNN is loaded once from
    a folder of links in which libiomp5.so stands under that name too; the loader then knows both by their names.
    """
    try:
        ctypes.CDLL("libgomp.so.1")
        return
    except OSError:
        pass
    import tempfile
    with tempfile.TemporaryDirectory() as folder:
        for library in libraries.glob("*.so*"):
            Path(folder, library.name).symlink_to(library)
        if not Path(folder, "libgomp.so.1").exists():
            Path(folder, "libgomp.so.1").symlink_to(libraries / "libiomp5.so")
        try:
            ctypes.CDLL(str(Path(folder, "libdnnl.so.3")), mode=ctypes.RTLD_GLOBAL)
        except OSError:
            return                                             # `import paddle` then says what is missing


def import_paddle() -> Any:
    """The paddle module, imported quietly.

    Paddle prints two lines about threads that are wrong for us, and warns about a compiler cache that we do not use.
    """
    if "paddle" not in sys.modules:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.filterwarnings("ignore", message="No ccache found")
            import paddle
        # Said of every batch norm that is trained, in the middle of a progress bar; it is what such a norm is for.
        warnings.filterwarnings("ignore", message="When training, we now always track")
    import paddle
    return paddle


def has_gpu_build() -> bool:
    """Whether Paddle may be a build for GPUs, found out without importing it, which takes a second."""
    from importlib.metadata import distributions
    names = {(found.metadata["Name"] or "").lower().replace("_", "-") for found in distributions()}
    return {name for name in names if name.startswith("paddlepaddle")} != {"paddlepaddle"}


def device(name: str = "auto") -> str:
    """Chooses Paddle's device: "auto" (a GPU when there is one), "cpu", "gpu" or "gpu:N". Returns the device's name.

    Raises SuiteError when a GPU is asked for and this Paddle has none.
    """
    from .errors import SuiteError
    if name in ("auto", "cpu") and "paddle" not in sys.modules and not has_gpu_build():
        return "cpu"
    paddle = import_paddle()
    has_gpu = paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count() > 0
    if name == "auto":
        name = "gpu" if has_gpu else "cpu"
    if name != "cpu" and not name.startswith("gpu"):
        raise SuiteError(f"There is no device '{name}': use auto, cpu, gpu or gpu:N.")
    if name.startswith("gpu") and not has_gpu:
        raise SuiteError("This Paddle sees no GPU: use the device cpu, or install the paddlepaddle-gpu of your CUDA.")
    try:
        return str(paddle.device.set_device(name) and paddle.device.get_device())
    except ValueError as error:
        raise SuiteError(f"Paddle cannot use the device '{name}' ({error}): use auto, cpu, gpu or gpu:N.") from error
