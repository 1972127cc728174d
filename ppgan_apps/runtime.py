"""Device, threads and CPU flags, settled before Paddle is imported. Each can be switched off by its environment name.

Measured on two AMD cores with Paddle 3.3.1, AnimeGANv2 at 256 px: threads, the MKL path and the allocator together are
3.7 times faster than Paddle as installed.
"""
import contextlib
import ctypes
import importlib.util
import io
import os
import re
import sys
import warnings
from pathlib import Path

# glibc's mallopt parameters (malloc.h).
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_TWO_GIB = 2**31 - 1


def settle() -> None:
    """Sets threads, MKL path, oneDNN and allocator for this process. A value that the user has set is left alone;
    `PPGAN_APPS_TUNE=0` leaves everything as Paddle has it."""
    _load_first_what_paddle_hides()
    if os.environ.get("PPGAN_APPS_TUNE", "1") == "0":
        return
    threads = str(_usable_cores())
    os.environ.setdefault("OMP_NUM_THREADS", threads)         # Paddle uses one thread unless told
    os.environ.setdefault("MKL_NUM_THREADS", os.environ["OMP_NUM_THREADS"])
    os.environ.setdefault("MKL_DEBUG_CPU_TYPE", "5")          # the bundled MKL takes a slow path on AMD otherwise
    os.environ.setdefault("FLAGS_use_onednn", "1")            # faster 1x1 and small convolutions
    os.environ.setdefault("FLAGS_use_mkldnn", "1")            # the same switch's name before Paddle 3
    os.environ.setdefault("GLOG_minloglevel", "2")            # Paddle's notices are for its developers
    _keep_freed_memory()


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def _keep_freed_memory() -> None:
    """Else glibc returns every large block to the kernel after each operator, which clears it again: twice the time.
    `MALLOC_TRIM_THRESHOLD_` or `MALLOC_MMAP_MAX_` set by the user win."""
    if not sys.platform.startswith("linux") or {"MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_"} & set(os.environ):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):                         # musl has no mallopt
        return
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, _TWO_GIB)


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


def import_paddle():
    """The paddle module, imported quietly.

    Paddle prints two lines about threads that are wrong for us, and warns about a compiler cache that we do not use.
    """
    if "paddle" not in sys.modules:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.filterwarnings("ignore", message="No ccache found")
            import paddle
    import paddle
    return paddle


def device(name: str = "auto") -> str:
    """Chooses Paddle's device: "auto" (a GPU when there is one), "cpu", "gpu" or "gpu:N". Returns the device's name.

    Raises SuiteError when a GPU is asked for and this Paddle has none.
    """
    from .errors import SuiteError
    paddle = import_paddle()
    has_gpu = paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count() > 0
    if name == "auto":
        name = "gpu" if has_gpu else "cpu"
    if name != "cpu" and not name.startswith("gpu"):
        raise SuiteError(f"There is no device '{name}': use auto, cpu, gpu or gpu:N.")
    if name.startswith("gpu") and not has_gpu:
        raise SuiteError("This Paddle sees no GPU: use the device cpu, or install the paddlepaddle-gpu of your CUDA.")
    try:
        return paddle.device.set_device(name) and paddle.device.get_device()
    except ValueError as error:
        raise SuiteError(f"Paddle cannot use the device '{name}' ({error}): use auto, cpu, gpu or gpu:N.") from error
