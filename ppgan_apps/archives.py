"""Pictures inside a .zip, read in place: nothing is extracted."""
from __future__ import annotations

import io
import threading
import zipfile
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from .errors import DataError, ImageError
from .unpickling import ZIP_FAULTS

# No picture or table of a data set is larger; what claims to be is more likely meant to fill the memory.
MAX_MEMBER_BYTES = 512 * 2**20
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)   # LZMA may ask for gigabytes of dictionary


class Archive:
    """An open .zip. Any thread may read from it. Raises DataError when it is none."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._lock = threading.Lock()                          # ZipFile counts its open members without one
        try:
            self._file = zipfile.ZipFile(self.path)
            self._bytes = self.path.stat().st_size
        except ZIP_FAULTS as error:
            raise DataError(f"{self.path} is not a whole .zip ({error}): make it again.") from error
        self._members = {entry.filename: entry for entry in self._file.infolist()
                         if entry.filename and not entry.filename.endswith("/")}

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def names(self) -> list[str]:
        """The files inside, sorted."""
        return sorted(self._members)

    def read(self, name: str) -> bytes:
        """The bytes of a file inside. Raises ImageError when they are damaged, encrypted or too many."""
        member = self._members[name]
        size, method = member.file_size, member.compress_type
        if member.compress_size > self._bytes:                 # zipfile would ask for so much memory at once
            raise ImageError(f"{self.path}/{name} is longer than the archive: it is damaged, pack it again.")
        if method not in METHODS:
            raise ImageError(f"{self.path}/{name} is packed by method {method}, which is not read: pack it again.")
        if size > MAX_MEMBER_BYTES:
            raise ImageError(f"{self.path}/{name} unpacks to {size // 2**20} MB, more than the "
                             f"{MAX_MEMBER_BYTES // 2**20} allowed: leave it out.")
        try:
            with self._lock:
                return self._file.read(name)
        except ZIP_FAULTS as error:
            raise ImageError(f"{self.path}/{name} cannot be unpacked ({error}): pack it again.") from error


@dataclass(frozen=True, order=True)
class ZipPath:
    """A file or folder inside a .zip, with what data.py uses of pathlib.Path."""

    inside: str                         # "" is the root
    archive: Archive = field(compare=False)

    def __str__(self) -> str:
        return f"{self.archive.path}/{self.inside}".rstrip("/")

    def __truediv__(self, name: str) -> ZipPath:
        return ZipPath(f"{self.inside}/{name}".lstrip("/"), self.archive)

    @property
    def name(self) -> str:
        return PurePosixPath(self.inside).name

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.inside).suffix

    @property
    def parent(self) -> ZipPath:
        return ZipPath(self.inside.rpartition("/")[0], self.archive)

    def relative_to(self, folder: ZipPath) -> PurePosixPath:
        # A name may begin with a slash, which makes it no path of the disk: nothing is unpacked.
        return PurePosixPath(self.inside.lstrip("/")).relative_to(folder.inside.lstrip("/"))

    def is_file(self) -> bool:
        return self.inside in self.archive

    def read_bytes(self) -> bytes:
        """See Archive.read; FileNotFoundError when it is not there."""
        if not self.is_file():
            raise FileNotFoundError(str(self))
        return self.archive.read(self.inside)

    def open(self, encoding: str = "utf-8", newline: str | None = None) -> io.TextIOWrapper:
        """Its text, for reading."""
        return io.TextIOWrapper(io.BytesIO(self.read_bytes()), encoding=encoding, newline=newline)

    def files(self) -> list[ZipPath]:
        """All files below this folder, sorted by name."""
        start = f"{self.inside}/" if self.inside else ""
        return [ZipPath(name, self.archive) for name in self.archive.names() if name.startswith(start)]


def is_zip(path: str | Path) -> bool:
    """Whether `path` names a .zip."""
    return Path(path).suffix.lower() == ".zip" and Path(path).is_file()


def zip_root(path: str | Path) -> ZipPath:
    """The folder inside a .zip that its files lie in: packed as a whole, a folder is the only entry at the top."""
    root = ZipPath("", Archive(path))
    while True:
        tops = {file.relative_to(root).parts[0] for file in root.files() if not file.inside.startswith("__MACOSX/")}
        below = root / next(iter(tops)) if len(tops) == 1 else None
        if below is None or below.is_file():
            return root
        root = below
