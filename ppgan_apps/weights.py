"""Weight files: the record of a published one, safe reading, strict loading, and writing as .safetensors."""

from __future__ import annotations

import json
import math
import os
import re
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import downloads, unpickling
from .errors import OutputError, WeightsError

if TYPE_CHECKING:
    from paddle import nn

EMBEDDED = "embedded:"  # a url that begins so means a file in ppgan_apps/pretrained
PRETRAINED_FOLDER = Path(__file__).resolve().parent / "pretrained"
NAMED_IN_ERRORS = 8  # entries listed in one message
SPARE_NUMBERS, SPARE_ENTRIES = 1 << 20, 100  # that a network may have besides its file's, while it is built
MAX_SIDE = 1 << 16  # of a picture that a file may say it was made for
STEP_FOLDER = re.compile(r"step_(\d+)")
# paddle.save notes here how it cut arrays of more than 1 GiB. (Its other note, StructuredToParameterName@@, a table of
# names, is no array and so left out with all else that is none.)
PADDLE_SLICES = "UnpackBigParamInfor@@"
TORCH_TO_PADDLE = {"running_mean": "_mean", "running_var": "_variance"}


@dataclass(frozen=True)
class ImageSpec:
    """What a network wants to be fed with.

    `size` is the side in pixels that it was trained at; sides must be multiples of `multiple_of`. The network sees
    (image / 255 - mean) / std per RGB channel. `background` (RGB, 0-255) fills what lies outside the picture or mask.
    """

    size: int = 256
    multiple_of: int = 1
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    background: tuple[int, int, int] = (255, 255, 255)
    crop: str = ""  # "face": it is fed upright faces, cut out of the picture


@dataclass(frozen=True)
class Pretrained:
    """One weight file, with all that a user or a licence review must know."""

    name: str  # "animeganv2/hayao"
    url: str  # "embedded:<file>" for those in the package
    sha256: str = ""  # of the file as it is used (unpacked); "": pinned when it is first used
    size: int = 0  # bytes of the file as it is used; 0: unknown
    licence: str = ""  # SPDX id, or the words the owner uses
    source: str = ""  # repository, paper, data set
    part: str = ""  # sub-dictionary that holds the network, e.g. "netG"
    optional: tuple[str, ...] = ()  # entries beginning so need no place in the network, e.g. "classifier."
    layout: str = ""  # of another project's file: the module of ppgan_apps/foreign that knows it
    # Constructor arguments; embedded files carry their own.
    network: Mapping[str, Any] = field(default_factory=dict, hash=False)
    input: ImageSpec = ImageSpec()

    @property
    def embedded(self) -> bool:
        """Whether the file is part of the package."""
        return self.url.startswith(EMBEDDED)

    def file(self) -> Path:
        """Where the file lies, or will lie once downloaded or put there by hand. Nothing is read."""
        if self.embedded:
            return PRETRAINED_FOLDER / self.url[len(EMBEDDED) :]
        return downloads.home() / downloads.file_name(self.url)

    def available(self) -> bool:
        """Whether the file is here already, so that `path` needs no network."""
        return self.file().is_file()

    def path(self) -> Path:
        """The verified file, downloaded first when it is not in the cache.

        PPGAN_APPS_HOME moves the cache; PPGAN_APPS_OFFLINE=1 forbids the network.

        Raises:
            WeightsError: no such embedded file, no network, a server that stalls or sends something else, or a file
                whose sha256 differs from the known or pinned one.
        """
        if not self.embedded:
            return downloads.fetch(self.url, self.file(), self.sha256, self.size, self.name)
        if not self.file().is_file():
            raise WeightsError(f"The weights {self.name} are not at {self.file()}: install the suite again.")
        if self.sha256 and downloads.sha256_of(self.file()) != self.sha256:
            raise WeightsError(f"{self.file()} differs from the file that was published: install the suite again.")
        return self.file()

    def load(self, net: nn.Layer) -> nn.Layer:
        """Fills `net` strictly (see `load_strict`) and returns it."""
        path = self.path()
        return load_strict(net, read_weights(path, self.part, self.layout), f"{self.name} ({path.name})", self.optional)

    def describe(self) -> str:
        """One line for the user: which weights these are, under which licence, from where."""
        return f"{self.name} (licence: {self.licence or 'unknown'}; source: {self.source or 'unknown'})"


def choose(public: Pretrained, embedded: Pretrained) -> Pretrained:
    """The public weights where they are cached or can be had now, else the embedded ones.

    An attempt to download gives up within a few seconds when nobody answers, at once when offline is asked for. A
    cached public file that is damaged is an error and not a reason to use other weights silently.
    """
    if public.available():
        return public
    try:
        public.path()
    except WeightsError:
        return embedded
    return public


# ---------------------------------------------------------------------------------------------------------------------
# Reading
# ---------------------------------------------------------------------------------------------------------------------
def read_weights(path: str | Path, part: str = "", layout: str = "") -> dict[str, np.ndarray]:
    """The arrays of one network by name, from .safetensors, .pdparams, .pt or .pth: the contents decide which.

    PyTorch's files are given in Paddle's terms: BatchNorm's running_mean and running_var as _mean and _variance, no
    num_batches_tracked, and a Linear layer's weight as [in, out].

    Args:
        path: the file.
        part: which sub-dictionary holds the network ("netG", "genA2B", "g_ema"), where the file holds several. A file
            that holds a single network is returned whole: the strict loader tells whether it is the right one.
        layout: another project's, by the module of ppgan_apps/foreign that knows it; the entries come in our terms.
    Raises:
        WeightsError: no such file, an unknown or damaged format, a pickle that names anything else than arrays, or a
            file with several networks of which `part` picks none (the message lists them).
    """
    path = Path(path)
    if layout:
        from .foreign import read_layout

        return read_layout(path, layout)
    try:
        with path.open("rb") as file:
            head = file.read(512)
        if _is_safetensors(head, path):
            return _pick_prefix(_read_safetensors(path), part)
        if head[:4] == b"PK\x03\x04":
            return _in_paddle_terms(_pick_part(unpickling.read_torch_zip(path), part, path))
        if unpickling.looks_like_old_torch(head):
            return _in_paddle_terms(_pick_part(unpickling.read_old_torch(path), part, path))
        _refuse_other_formats(head, path)
        return _pick_part(unpickling.read_paddle_pickle(path), part, path)
    except OSError as error:
        raise _unreadable(path, error) from error


def _in_paddle_terms(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A PyTorch network's entries as the same network in Paddle names and stores them."""
    converted = {}
    for name, array in state.items():
        stem, dot, last = name.rpartition(".")
        if last == "num_batches_tracked":
            continue
        if array.ndim == 2 and last in ("weight", "weight_orig"):  # Linear: [out, in] there, [in, out] here
            array = np.ascontiguousarray(array.T)
        converted[stem + dot + TORCH_TO_PADDLE.get(last, last)] = array
    return converted


def _refuse_other_formats(head: bytes, path: Path) -> None:
    if not head:
        raise WeightsError(f"{path} is empty: download or save it again.")
    if head[257:262] == b"ustar":
        raise WeightsError(
            f"{path} is a tar archive (PyTorch wrote weights so before 0.2): unpack it, or save the weights again."
        )
    if head[:3] in (b"BZh", b"\x1f\x8b\x08") or head[:6] == b"\x93NUMPY":
        raise WeightsError(f"{path} is no weight file: unpack it, or give a .safetensors, .pdparams or .pt file.")
    if head.lstrip()[:1] == b"<":
        raise WeightsError(f"{path} holds a web page and no weights: download it again.")


def _unreadable(path: Path, error: OSError) -> WeightsError:
    return WeightsError(f"The weight file {path} cannot be read ({error.strerror or error}): check the path.")


def _is_safetensors(head: bytes, path: Path) -> bool:
    # 8 bytes of header length, then JSON.
    return path.suffix == ".safetensors" or (len(head) > 9 and head[6:9] == b"\0\0{")


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, TypeError, ValueError, AttributeError, KeyError, OverflowError) as error:
        raise WeightsError(f"{path} is no readable .safetensors file ({error}): download or save it again.") from error


def _pick_prefix(state: dict[str, np.ndarray], part: str) -> dict[str, np.ndarray]:
    """A .safetensors file has no sub-dictionaries; "netG.conv.weight" plays that role where it occurs."""
    prefix = f"{part}."
    inside = {name[len(prefix) :]: array for name, array in state.items() if part and name.startswith(prefix)}
    return inside or state


def _pick_part(contents: Any, part: str, path: Path) -> dict[str, np.ndarray]:
    if not isinstance(contents, dict):
        raise WeightsError(f"{path} holds a {type(contents).__name__} and not named arrays: it is no weight file.")
    parts = {str(name): _state(entry, path) for name, entry in contents.items() if isinstance(entry, dict)}
    parts = {name: state for name, state in parts.items() if state and not name.endswith("@@")}
    if part in parts:
        return parts[part]
    whole = _state(contents, path)
    if parts and (part or not whole):
        wanted = f"none called {part!r}" if part else "so say which"
        raise WeightsError(f"{path} holds several networks, {wanted}: its parts are {', '.join(sorted(parts))}.")
    if parts:
        names = ", ".join(sorted(parts))
        raise WeightsError(f"{path} holds single arrays beside the parts {names}: say which part is the network.")
    if not whole:
        raise WeightsError(f"{path} holds no arrays: it is no weight file.")
    return whole


def _state(contents: Mapping[Any, Any], path: Path) -> dict[str, np.ndarray]:
    """The arrays of a dictionary by name, in the forms that paddle.save gives them."""
    state = {}
    for name, entry in contents.items():
        # A tensor outside a plain state dict is saved as (its name in the process, its numbers).
        if isinstance(entry, tuple) and len(entry) == 2 and isinstance(entry[0], str):
            entry = entry[1]
        if isinstance(entry, np.ndarray):
            state[str(name)] = entry
    slices = contents.get(PADDLE_SLICES)
    return _join_slices(state, slices, path) if isinstance(slices, dict) else state


def _join_slices(state: dict[str, np.ndarray], slices: Mapping[Any, Any], path: Path) -> dict[str, np.ndarray]:
    for name, how in slices.items():
        try:
            pieces = [state.pop(piece) for piece in how["slices"]]
            state[str(name)] = np.concatenate(pieces).reshape(how["OriginShape"])
        except (KeyError, TypeError, ValueError) as error:
            raise WeightsError(f"{path} lacks slices of its array {name!s:.80}: download or save it again.") from error
    return state


def read_metadata(path: str | Path) -> dict[str, Any]:
    """What a .safetensors file says about itself ({"network": {...}, "family": ..., ...}); {} for other formats.

    Raises:
        WeightsError: no such file, or a damaged .safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    try:
        with path.open("rb") as file:
            if not _is_safetensors(file.read(16), path):
                return {}
        with safe_open(path, framework="numpy") as file:
            written = file.metadata() or {}
    except OSError as error:
        raise _unreadable(path, error) from error
    except SafetensorError as error:
        raise WeightsError(f"{path} is no readable .safetensors file ({error}): download or save it again.") from error
    return checked_about({name: _json_or_text(text) for name, text in written.items()}, path)


def checked_about(about: dict[str, Any], source: str | Path) -> dict[str, Any]:
    """`about`, what a file says of itself, when what the suite reads of it is of the kind that it writes.

    Raises WeightsError.
    """
    for name in ("network", "input"):
        if not isinstance(about.get(name) or {}, Mapping):
            raise WeightsError(f"{source} describes its {name} by a {type(about[name]).__name__} instead of by names "
                               "and values: save the weights again.")
    sizes = [(about.get("input") or {}).get("size"), (about.get("network") or {}).get("img_size")]
    for size in sizes:
        if size is not None and not (type(size) is int and 0 <= size <= MAX_SIDE):
            raise WeightsError(f"{source} was made for pictures of {str(size)[:40]} pixels, by what it says of itself, "
                               f"instead of 1 to {MAX_SIDE}: save the weights again.")
    for name in ("family", "licence", "license", "class"):
        if not isinstance(about.get(name) or "", str):
            raise WeightsError(f"{source} states a {type(about[name]).__name__} as its {name}: save the weights again.")
    return about


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # no JSON, or deeper than anything that the suite writes
        return text


def resolve(weight_path: str | Path) -> Path:
    """The file to load for what a user gave as weights: a file, a training checkpoint or a run's folder.

    A checkpoint folder holds <name>.safetensors per network and meta.json, whose "deliver" says which one makes the
    pictures. A run's folder holds checkpoints/step_XXXXXXXX/: the newest whole one is meant.

    Raises:
        WeightsError: nothing is there, or the folder is neither.
    """
    path = Path(weight_path).expanduser()
    if path.is_file():
        return path
    if not path.is_dir():
        raise WeightsError(f"There is no weight file or folder {path}: check the path.")
    checkpoint = path if (path / "meta.json").is_file() else _newest_checkpoint(path)
    try:
        deliver = json.loads((checkpoint / "meta.json").read_text(encoding="utf-8"))["deliver"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{checkpoint}/meta.json does not say which network to deliver: use another one.") from error
    file = checkpoint / f"{deliver}.safetensors"
    if not file.is_file():
        raise WeightsError(f"{checkpoint} lacks {file.name}: the checkpoint is not whole, use another one.")
    return file


def _newest_checkpoint(run: Path) -> Path:
    folder = run / "checkpoints" if (run / "checkpoints").is_dir() else run
    steps = {entry: STEP_FOLDER.fullmatch(entry.name) for entry in folder.iterdir()}
    whole = {entry: int(step[1]) for entry, step in steps.items() if step and (entry / "meta.json").is_file()}
    if not whole:
        raise WeightsError(
            f"The folder {run} holds no checkpoint (no meta.json, no checkpoints/step_*): give a weight file, a "
            "checkpoint or a training run's folder."
        )
    return max(whole, key=lambda entry: whole[entry])


# ---------------------------------------------------------------------------------------------------------------------
# Writing
# ---------------------------------------------------------------------------------------------------------------------
def save_weights(
    path: str | Path, state: Mapping[str, Any], metadata: Mapping[str, Any] | None = None, half: bool = False
) -> Path:
    """Writes named arrays as .safetensors; the file appears whole or not at all.

    Args:
        path: the file; its folder is made when missing.
        state: arrays, or tensors that numpy can read, by name.
        metadata: what the file says about itself; values of any JSON kind.
        half: store float32 and float64 as float16, which halves the file; `load_strict` casts back.
    Raises:
        OutputError: the file cannot be written.
        WeightsError: a number does not fit into float16.
    """
    from safetensors.numpy import save

    path = Path(path)
    arrays = {name: _storable(name, np.asarray(value), half) for name, value in state.items()}
    data = save(arrays, {name: json.dumps(value, ensure_ascii=False) for name, value in (metadata or {}).items()})
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise OutputError(f"The weights cannot be written to {path} ({error.strerror or error}).") from error
    return path


def _storable(name: str, array: np.ndarray, half: bool) -> np.ndarray:
    if half and array.dtype in (np.float32, np.float64):
        largest = np.abs(array[np.isfinite(array)]).max(initial=0)
        if largest > np.finfo(np.float16).max:
            raise WeightsError(f"{name} holds the number {largest:.6g}, too large for float16: save with half=False.")
        array = array.astype(np.float16)
    return np.ascontiguousarray(array) if array.ndim else array


# ---------------------------------------------------------------------------------------------------------------------
# Loading into a network
# ---------------------------------------------------------------------------------------------------------------------
_building = threading.RLock()


def build(kind: Callable[..., nn.Layer], arguments: Mapping[str, Any], state: Mapping[str, np.ndarray]) -> nn.Layer:
    """`kind(**arguments)`, as long as that needs not many more numbers than `state` has.

    Arguments come out of files: some bytes of text must not be able to ask for a network of a terabyte. The strict
    loader would refuse it anyway, but only once it is there.

    Raises:
        WeightsError: the network would be larger than its weights.
        TypeError, ValueError: the arguments make no network.
    """
    from paddle import nn

    # Twice: some networks make a layer and put another into its place.
    left = 2 * sum(array.size for array in state.values()) + SPARE_NUMBERS
    entries_left = 2 * len(state) + SPARE_ENTRIES
    owner, create = threading.get_ident(), nn.Layer.create_parameter

    def create_bounded(layer: nn.Layer, shape: Any, *more: Any, **options: Any) -> Any:
        nonlocal left, entries_left
        if threading.get_ident() == owner:
            left -= math.prod(int(extent) for extent in shape)
            entries_left -= 1
            if left < 0 or entries_left < 0:
                raise WeightsError(
                    f"A {kind.__name__} built with {str(dict(arguments))[:200]} needs more numbers than its file has: "
                    "give it weights that were made for it."
                )
        return create(layer, shape, *more, **options)

    with _building:  # one at a time, since the method is every layer's
        nn.Layer.create_parameter = create_bounded
        try:
            return kind(**arguments)
        except (WeightsError, TypeError, ValueError):
            raise
        except Exception as error:  # a negative width, a division by zero ...: of Paddle's and Python's many kinds
            raise ValueError(" ".join(str(error).split())[-200:] or type(error).__name__) from error
        finally:
            nn.Layer.create_parameter = create


def load_strict(
    net: nn.Layer, state: Mapping[str, Any], source: str = "", optional: tuple[str, ...] = ()
) -> nn.Layer:
    """Fills every parameter and buffer of `net` from `state`, or changes nothing.

    Paddle's own set_state_dict only warns; here a missing, unexpected or mis-shaped entry is an error. Floating types
    are cast to the network's (weights are often stored as float16).

    Args:
        net: a Paddle Layer.
        state: arrays or tensors by the names of `net.state_dict()`.
        source: what the error message calls the weights, usually the file.
        optional: entries of `state` that begin so are left out where the net has no such entry: a network that is cut
            off behind a certain layer takes the weights of the whole one.
    Returns:
        `net`.
    Raises:
        WeightsError: naming up to eight entries that do not fit, and how many there are.
    """
    source = source or "The weights"
    own = net.state_dict()
    arrays = {name: np.asarray(value) for name, value in state.items() if name in own or not name.startswith(optional)}
    missing = [name for name in own if name not in arrays]
    unexpected = [name for name in arrays if name not in own]
    shared = [name for name in own if name in arrays]
    if own and arrays and not shared:
        raise WeightsError(
            f"{source} holds another network: none of its {len(arrays)} entries ({_some(list(arrays), 3)}) belongs to "
            f"{type(net).__name__}, which wants {len(own)} ({_some(list(own), 3)}); give weights made for it, or "
            "import another project's with `ppgan-apps zoo import`."
        )
    misfits = [text for name in shared if (text := _misfit(name, own[name], arrays[name]))]
    problems = [
        f"{len(names)} {kind} ({_some(names, NAMED_IN_ERRORS)})"
        for kind, names in (("missing", missing), ("unexpected", unexpected), ("of another shape or type", misfits))
        if names
    ]
    if problems:
        raise WeightsError(
            f"{source} does not fit {type(net).__name__} with its {len(own)} entries: {'; '.join(problems)}; give "
            "weights made for this network, or build it with the arguments that they were trained with."
        )
    state_of_net: dict[str, Any] = {name: _as(own[name], arrays[name]) for name in own}
    net.set_state_dict(state_of_net)
    return net


def _some(names: list[str], count: int) -> str:
    return ", ".join(names[:count]) + (", ..." if len(names) > count else "")


def _dtype_of(parameter: Any) -> str:
    return str(parameter.dtype).rsplit(".", 1)[-1].lower()  # "paddle.float32" (2.6: "VarType.FP32" never occurs here)


def _misfit(name: str, parameter: Any, array: np.ndarray) -> str:
    wanted, found = tuple(parameter.shape), array.shape
    # Paddle 2.4 and older had no 0-dimensional tensors: a number may come as (1,).
    if wanted != found and not {wanted, found} == {(), (1,)}:
        return f"{name}: {list(found)} instead of {list(wanted)}"
    floating = "float" in _dtype_of(parameter)
    if floating != (array.dtype.kind == "f"):
        return f"{name}: {array.dtype} instead of {_dtype_of(parameter)}"
    return ""


def _as(parameter: Any, array: np.ndarray) -> np.ndarray:
    dtype = _dtype_of(parameter)
    return np.ascontiguousarray(array, "float32" if dtype == "bfloat16" else dtype).reshape(tuple(parameter.shape))
