"""Fetches a weight file into the cache: resumed, bounded, verified, and giving up soon when nobody answers.

Cache: PPGAN_APPS_HOME, or ~/.cache/ppgan_apps. Beside `<file>` stand `<file>.sha256` (the pin: what the file was when
it was first used), `<file>.lock` (so that two processes do not fetch it at once) and, while it is coming,
`<download>.part`, with the server's name for that version in `<download>.part.version`. A file that somebody put there
by hand is as good as a fetched one.
"""

from __future__ import annotations

import hashlib
import json
import os
import queue
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import unquote, urlsplit

from .errors import WeightsError
from .unpickling import ZIP_FAULTS, ZIP_METHODS

if TYPE_CHECKING:
    from requests import Response

MAX_BYTES = 1 << 30  # of a download or unpacked file whose size no record tells
BLOCK_BYTES = 32 << 10
MAX_TRIES = 4  # a broken connection is taken up again as long as each one brought something
MAX_REDIRECTS = 5


@dataclass(frozen=True)
class Patience:
    """How long is waited, in seconds, before a download is given up."""

    open: float = 6.0  # name look-up, connection, redirects and the answer's first line, all together
    block: float = 10.0  # each 32 KiB: slower than 3 KB/s is as good as stalled
    lock: float = 1800.0  # another process that is fetching the same file


def home() -> Path:
    """The cache folder: PPGAN_APPS_HOME, or ~/.cache/ppgan_apps."""
    return Path(os.environ.get("PPGAN_APPS_HOME") or "~/.cache/ppgan_apps").expanduser()


def offline() -> bool:
    """Whether PPGAN_APPS_OFFLINE forbids the network."""
    return os.environ.get("PPGAN_APPS_OFFLINE", "").strip().lower() not in ("", "0", "false", "no")


def file_name(url: str) -> str:
    """The name of a download in the cache: the address's own, without .bz2; of "x.zip#member.dat" it is "x.dat"."""
    address = urlsplit(url)
    name = unquote(address.path).rsplit("/", 1)[-1]
    if address.fragment:
        return Path(name).stem + Path(address.fragment).suffix
    return name[: -len(".bz2")] if name.endswith(".bz2") else name


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's contents, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def fetch(
    url: str, target: Path, sha256: str = "", size: int = 0, name: str = "", patience: Patience = Patience()
) -> Path:
    """`target`, verified; downloaded from `url` first when it is not there.

    Args:
        url: http(s) address. Ending in .bz2 it is unpacked; "...zip#member" takes the one entry ending in `member`.
        target: the file in the cache.
        sha256: of the file as used; "" pins it at first use, so that later changes are noticed.
        size: bytes of the file as used; 0 when unknown.
        name: what messages call the weights.
    Raises:
        WeightsError: offline, unreachable, stalled, too long, too short, of another sha256, or not writable.
    """
    name = name or target.name
    try:
        if target.is_file():
            return _verified(target, target, sha256, url)
        if offline():
            raise WeightsError(
                f"The weights {name} are not here and PPGAN_APPS_OFFLINE forbids the network: {_by_hand(url, target)}."
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target, patience):
            if target.is_file():  # another process was faster
                return _verified(target, target, sha256, url)
            return _download_and_verify(url, target, sha256, size, name, patience)
    except OSError as error:
        raise WeightsError(
            f"The weights {name} cannot be kept in {target.parent} ({error.strerror or error}): free or choose another "
            "folder with PPGAN_APPS_HOME."
        ) from error


def _by_hand(url: str, target: Path) -> str:
    address, _, member = url.partition("#")
    unpack = f", take {member} out of it" if member else ", unpack it" if address.endswith(".bz2") else ""
    return f"fetch {address} elsewhere{unpack} and put it at {target}"


def _download_and_verify(url: str, target: Path, sha256: str, size: int, name: str, patience: Patience) -> Path:
    address, _, member = url.partition("#")
    packed = bool(member) or address.endswith(".bz2")
    part = target.with_name(unquote(urlsplit(address).path).rsplit("/", 1)[-1] + ".part")
    limit = size if size and not packed else MAX_BYTES
    _download(address, part, limit, name, f"{_by_hand(url, target)}", patience)
    whole = _unpack(part, target, member, size or MAX_BYTES) if packed else part
    try:
        found = whole.stat().st_size
        if size and found != size:
            raise WeightsError(
                f"{url} gave {found} bytes where {name} has {size}: try again, or {_by_hand(url, target)}."
            )
        _verified(whole, target, sha256, url)
        os.replace(whole, target)
    finally:
        for leftover in {part, whole, _version_file(part)}:  # nothing damaged is kept
            leftover.unlink(missing_ok=True)
    return target


# ---------------------------------------------------------------------------------------------------------------------
# What the file must be
# ---------------------------------------------------------------------------------------------------------------------
def _verified(file: Path, target: Path, sha256: str, url: str) -> Path:
    """Checks `file`, which is or becomes `target`, against the known sum, else the pinned one, else pins it."""
    found = sha256_of(file)
    pin = target.with_name(target.name + ".sha256")
    pinned = _pinned(pin)
    wanted = sha256 or pinned
    if wanted and found != wanted:
        which = "published" if sha256 else "first used here"
        beside = "" if sha256 or not pin.is_file() else f" (and {pin.name} if the change is meant)"
        raise WeightsError(
            f"{target} is not the file that was {which}: its sha256 is {found} and not {wanted}; delete it{beside} and "
            f"download it again from {url}."
        )
    if not pinned or pinned != found:
        _write_pin(pin, {"sha256": found, "size": file.stat().st_size, "url": url})
    return file


def _pinned(pin: Path) -> str:
    if not pin.is_file():
        return ""
    try:
        return str(json.loads(pin.read_text(encoding="utf-8"))["sha256"])
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{pin} is damaged: delete it if you trust the file beside it.") from error


def _write_pin(pin: Path, facts: dict[str, Any]) -> None:
    temporary = pin.with_name(f"{pin.name}.{os.getpid()}.part")
    try:
        temporary.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        os.replace(temporary, pin)
    except OSError:
        # A cache that others filled and that cannot be written to is still good to read from.
        temporary.unlink(missing_ok=True)


def _unpack(archive: Path, target: Path, member: str, limit: int) -> Path:
    """The single file in `archive`, written beside `target` and never longer than `limit` bytes."""
    unpacked = target.with_name(f".{target.name}.{os.getpid()}.unpacked")
    try:
        with _open_packed(archive, member) as packed, unpacked.open("wb") as file:
            left = limit
            while block := packed.read(1 << 20):
                left -= len(block)
                if left < 0:
                    raise WeightsError(f"{archive.name[:-5]} unpacks to over {limit} bytes: not the published file.")
                file.write(block)
    except ZIP_FAULTS as error:
        unpacked.unlink(missing_ok=True)
        archive.unlink(missing_ok=True)
        raise WeightsError(f"{archive.name[:-5]} is a damaged archive ({error}): try again.") from error
    except WeightsError:
        unpacked.unlink(missing_ok=True)
        archive.unlink(missing_ok=True)
        raise
    return unpacked


@contextmanager
def _open_packed(archive: Path, member: str) -> Iterator[Any]:
    if not member:
        import bz2

        with bz2.open(archive) as stream:
            yield stream
        return
    with zipfile.ZipFile(archive) as entries:
        matches = [entry for entry in entries.namelist() if entry == member or entry.endswith("/" + member)]
        if len(matches) != 1:
            raise WeightsError(f"{archive.name[:-5]} holds {len(matches)} files {member} instead of one.")
        if entries.getinfo(matches[0]).compress_type not in ZIP_METHODS:
            raise WeightsError(f"{archive.name[:-5]} is packed in a way that is not read: not the published file.")
        with entries.open(matches[0]) as stream:
            yield stream


@contextmanager
def _locked(target: Path, patience: Patience) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock = FileLock(str(target) + ".lock")
    try:
        lock.acquire(timeout=1)
    except Timeout:
        print(f"Another process is downloading {target.name}; waiting for it.", file=sys.stderr)
        try:
            lock.acquire(timeout=patience.lock)
        except Timeout as error:
            raise WeightsError(
                f"Another process has been downloading {target} for {patience.lock:.0f} s: stop it."
            ) from error
    try:
        yield
    finally:
        lock.release()


# ---------------------------------------------------------------------------------------------------------------------
# The transfer
# ---------------------------------------------------------------------------------------------------------------------
class _Broken(Exception):
    """The connection ended early; what came is kept and the next try goes on from there."""


class _StartOver(Exception):
    """The server cannot go on from what we have."""


def _download(address: str, part: Path, limit: int, name: str, by_hand: str, patience: Patience) -> None:
    """Brings `address` to `part` whole, going on from what an earlier try left there."""
    for _ in range(MAX_TRIES):
        before = part.stat().st_size if part.is_file() else 0
        try:
            return _transfer(address, part, limit, name, patience)
        except _StartOver:
            part.unlink(missing_ok=True)
        except _Broken as broken:
            after = part.stat().st_size if part.is_file() else 0
            if after <= before:
                raise WeightsError(f"The weights {name} cannot be downloaded ({broken}): {by_hand}.") from broken
    raise WeightsError(f"The download of the weights {name} breaks off again and again: run it later, or {by_hand}.")


def _transfer(address: str, part: Path, limit: int, name: str, patience: Patience) -> None:
    start = part.stat().st_size if part.is_file() else 0
    version = _version_file(part).read_text(encoding="utf-8") if _version_file(part).is_file() else ""
    if start and not version:  # parts of two versions would be glued together
        start = 0
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers |= {"Range": f"bytes={start}-", "If-Range": version}
    with _Reception(address, headers, patience) as reception:
        response = reception.response
        start = _start_of(response, start)
        _refuse_bad_answer(response, address)
        announced = response.headers.get("Content-Length", "")
        # Not isdigit alone: it takes the superscript two of Latin-1 for a digit, and int does not.
        total = start + int(announced) if announced.isascii() and announced.isdigit() and len(announced) < 19 else None
        if total is not None and total > limit:
            part.unlink(missing_ok=True)
            raise WeightsError(f"{address} announces {total} bytes where at most {limit} are expected: not downloaded.")
        validator = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
        _version_file(part).write_text("" if validator.startswith("W/") else validator, encoding="utf-8")
        with part.open("ab" if start else "wb") as file, _progress(name, start, total) as bar:
            _receive(reception, file, start, limit, address, bar)
        if total is not None and part.stat().st_size < total:
            raise _Broken(f"the connection ended after {part.stat().st_size} of {total} bytes")


def _receive(reception: _Reception, file: BinaryIO, start: int, limit: int, address: str, bar: Any) -> None:
    received = start
    for block in reception.blocks():
        received += len(block)
        if received > limit:
            file.truncate(0)
            raise WeightsError(f"{address} sends more than the {limit} bytes that are expected: stopped.")
        file.write(block)
        bar.update(len(block))


def _start_of(response: Response, asked: int) -> int:
    """The byte that the answer begins at: `asked` for a partial answer, 0 when the server sends the whole file."""
    if response.status_code == 416:
        raise _StartOver()
    if response.status_code != 206:
        return 0
    if not response.headers.get("Content-Range", "").startswith(f"bytes {asked}-"):
        raise _StartOver()
    return asked


def _refuse_bad_answer(response: Response, address: str) -> None:
    if response.status_code not in (200, 206):
        raise _Broken(f"{address} answers {response.status_code} {response.reason}")
    hops = [urlsplit(step.url).scheme for step in (*response.history, response)]
    if "https" in hops and "http" in hops[hops.index("https") :]:
        raise _Broken(f"{address} leads to the unprotected address {response.url}")


def _version_file(part: Path) -> Path:
    return part.with_name(part.name + ".version")


@contextmanager
def _progress(name: str, start: int, total: int | None) -> Iterator[Any]:
    from tqdm import tqdm

    hidden = sys.stderr is None or not sys.stderr.isatty()
    with tqdm(desc=name, initial=start, total=total, unit="B", unit_scale=True, leave=False, disable=hidden) as bar:
        yield bar


class _Reception:
    """Receives one answer in a thread of its own, so that no look-up, handshake or trickle can hold the caller up.

    The time-outs of the sockets bound single reads only, and none bounds the look-up of a host's name.
    """

    def __init__(self, address: str, headers: dict[str, str], patience: Patience):
        self._address, self._headers, self._patience = address, headers, patience
        self._arrivals: queue.Queue[Any] = queue.Queue(maxsize=64)  # the Response, blocks of bytes, None or an error
        self._stopped = threading.Event()

    def __enter__(self) -> _Reception:
        threading.Thread(target=self._work, name="ppgan_apps-download", daemon=True).start()
        try:
            self.response: Response = self._next(self._patience.open, "did not answer")
        except BaseException:
            self._stopped.set()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()

    def blocks(self) -> Iterator[bytes]:
        """The body as it arrives."""
        while (block := self._next(self._patience.block, "stalled")) is not None:
            yield block

    def _next(self, seconds: float, what: str) -> Any:
        try:
            arrival = self._arrivals.get(timeout=seconds)
        except queue.Empty:
            raise _Broken(f"{urlsplit(self._address).netloc} {what} for {seconds:g} s") from None
        if isinstance(arrival, BaseException):
            raise _Broken(_reason(arrival, urlsplit(self._address).netloc)) from arrival
        return arrival

    def _work(self) -> None:
        import requests

        # The caller gives up by its own clock; the sockets' time-out, later, only ends this thread.
        longest = 2 * max(self._patience.open, self._patience.block) + 1
        timeout = (longest, longest)
        try:
            with requests.Session() as session:
                session.max_redirects = MAX_REDIRECTS
                with session.get(self._address, headers=self._headers, stream=True, timeout=timeout) as response:
                    self._put(response)
                    for block in response.raw.stream(BLOCK_BYTES, decode_content=False):
                        self._put(block)
            self._put(None)
        except _Abandoned:
            return
        except Exception as error:  # whatever it is, it is raised again in the caller's thread
            self._hand_over(error)

    def _put(self, arrival: Any) -> None:
        while not self._stopped.is_set():
            try:
                return self._arrivals.put(arrival, timeout=0.2)
            except queue.Full:
                continue
        raise _Abandoned()

    def _hand_over(self, error: Exception) -> None:
        try:
            self._put(error)
        except _Abandoned:
            return


class _Abandoned(Exception):
    """The caller has stopped listening."""


def _reason(error: BaseException, host: str) -> str:
    """A connection's error in a few words instead of the library's chain of objects."""
    text = str(error)
    if "NameResolution" in text or "getaddrinfo" in text or "Name or service not known" in text:
        return f"the host {host} is not known here: no network?"
    if "refused" in text:
        return f"{host} refuses the connection"
    if "timed out" in text.lower():
        return f"{host} does not answer"
    if "certificate" in text.lower():
        return f"the certificate of {host} is not accepted"
    if "IncompleteRead" in text or "reset" in text or "aborted" in text.lower():
        return f"{host} closed the connection early"
    return f"{type(error).__name__}: {text[:160]}"
