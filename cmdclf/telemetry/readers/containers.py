"""Plain, gzip and zip files as streams of bytes, bounded so that a decompression bomb ends in an error."""

from __future__ import annotations

import codecs
import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from cmdclf.errors import TelemetryError
from cmdclf.telemetry.readers.base import MAX_RECORD_BYTES

__all__ = ["Limits", "Member", "lines_of", "looks_binary", "members_of", "read_head"]

HEAD_BYTES = 64 << 10
_UNPACK = "If you trust it, unpack it yourself and ingest the plain file"


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what a compressed file may become.

    Args:
        member_bytes: uncompressed size of one member of a zip archive.
        ratio: uncompressed bytes per byte of the file, beyond a first 64 MiB. Logs reach about 50, deflate 1032.
        members: members of a zip archive.
    """

    member_bytes: int = 4 << 30
    ratio: int = 200
    members: int = 10_000


@dataclass(frozen=True, slots=True)
class Member:
    """One stream of a file: `name` is empty unless it lies in an archive."""

    name: str
    stream: BinaryIO


class _Budget:
    """Counts what a file has become so far and refuses to go on beyond the limits."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self.path = path
        self.limits = limits
        self.total = 0
        self.allowed = (64 << 20) + limits.ratio * path.stat().st_size

    def spend(self, n: int) -> None:
        self.total += n
        if self.total > self.allowed:
            raise TelemetryError(
                f"the file grows more than {self.limits.ratio}-fold when it is decompressed, which may be an attack",
                file=self.path,
                remedy=_UNPACK,
            )


class _Bounded(io.RawIOBase):
    """A decompressing stream whose faults and excesses are errors that name the file."""

    def __init__(self, inner: BinaryIO, budget: _Budget, name: str, member_bytes: int | None) -> None:
        self._inner = inner
        self._budget = budget
        self._name = name
        self._member_bytes = member_bytes
        self._seen = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        with _damage(self._budget.path, self._name):
            data = self._inner.read(len(buffer))
        self._seen += len(data)
        self._budget.spend(len(data))
        if self._member_bytes is not None and self._seen > self._member_bytes:
            raise TelemetryError(
                f"the member {self._name!r} is larger than {self._member_bytes:,} bytes when it is decompressed",
                file=self._budget.path,
                remedy=_UNPACK,
            )
        buffer[: len(data)] = data
        return len(data)


class _Recoded(io.RawIOBase):
    """UTF-16 as PowerShell writes it, turned into UTF-8; lone surrogates pass and are escaped later."""

    def __init__(self, inner: BinaryIO) -> None:
        self._inner = inner
        self._decoder = codecs.getincrementaldecoder("utf-16")("surrogatepass")
        self._ready = b""
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._ready and not self._ended:
            data = self._inner.read(HEAD_BYTES)
            self._ended = not data
            try:
                text = self._decoder.decode(data, final=self._ended)
            except UnicodeDecodeError:  # half a character at the end
                text = "\ufffd"
            self._ready = text.encode("utf-8", "surrogatepass")
        part, self._ready = self._ready[: len(buffer)], self._ready[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)


@contextmanager
def _damage(path: Path, member: str = "") -> Iterator[None]:
    where = f" in the member {member!r}" if member else ""
    try:
        yield
    except (zlib.error, EOFError, gzip.BadGzipFile, zipfile.BadZipFile, zipfile.LargeZipFile) as error:
        raise TelemetryError(
            f"the file is damaged{where} ({str(error)[:200] or type(error).__name__})",
            file=path,
            remedy="Nothing of it was stored: fetch or export it again",
        ) from error
    except (RuntimeError, NotImplementedError) as error:  # encrypted, or a compression that zipfile doesn't know
        raise TelemetryError(
            f"the archive can't be unpacked{where} ({str(error)[:200]})", file=path, remedy="Unpack it first"
        ) from error


def members_of(path: Path, limits: Limits | None = None) -> Iterator[Member]:
    """The streams of a plain, gzip or zip file, told by their first bytes, each open until the next is asked for.

    UTF-16 with a byte order mark becomes UTF-8; UTF-8's mark is removed. Nothing is ever written to the disk.

    Raises:
        TelemetryError: the file is missing, damaged, encrypted or exceeds the limits (also while reading a stream).
    """
    limits = limits or Limits()
    try:
        plain = path.open("rb")
    except OSError as error:
        raise TelemetryError(
            f"the file can't be opened ({error.strerror})", file=path, remedy="Check the path and its permissions"
        ) from error
    with plain:
        magic = plain.read(4)
        plain.seek(0)
        if magic[:2] == b"\x1f\x8b":
            with gzip.GzipFile(fileobj=plain) as inner:
                yield Member("", _text(_Bounded(cast(BinaryIO, inner), _Budget(path, limits), "", None)))
        elif magic in (b"PK\x03\x04", b"PK\x05\x06"):
            yield from _zip_members(path, plain, limits)
        else:
            yield Member("", _text(plain))


def _zip_members(path: Path, plain: BinaryIO, limits: Limits) -> Iterator[Member]:
    budget = _Budget(path, limits)
    with _damage(path):
        archive = zipfile.ZipFile(plain)
    with archive:
        # macOS archives carry a shadow file of attributes for each file: no records there.
        infos = [i for i in archive.infolist() if not i.is_dir() and not i.filename.startswith("__MACOSX/")]
        if len(infos) > limits.members:
            raise TelemetryError(
                f"the archive has {len(infos):,} members, more than {limits.members:,}", file=path, remedy=_UNPACK
            )
        for info in infos:
            with _damage(path, info.filename):
                inner = archive.open(info)
            with inner:
                bounded = _Bounded(cast(BinaryIO, inner), budget, info.filename, limits.member_bytes)
                yield Member(info.filename, _text(bounded))


def _text(raw: io.RawIOBase | BinaryIO) -> BinaryIO:
    stream = raw if isinstance(raw, io.BufferedReader) else io.BufferedReader(cast(io.RawIOBase, raw), 1 << 20)
    mark = stream.peek(4)[:4]
    if mark[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return cast(BinaryIO, io.BufferedReader(_Recoded(cast(BinaryIO, stream)), 1 << 20))
    if mark[:3] == codecs.BOM_UTF8:
        stream.read(3)
    return cast(BinaryIO, stream)


def read_head(path: Path) -> bytes:
    """The first 64 KiB of a file, or of the first non-empty member of an archive, decompressed."""
    for member in members_of(path):
        head = member.stream.read(HEAD_BYTES)
        if head:
            return head
    return b""


def looks_binary(head: bytes) -> bool:
    """Whether bytes are no text: more than one in ten is a control character or not UTF-8."""
    sample = head[:4096]
    text = sample.decode("utf-8", "replace")
    odd = sum(c == "\ufffd" or (c < " " and c not in "\t\r\n\x1b\x0c") for c in text)
    return odd * 10 > len(text)


def lines_of(stream: BinaryIO, limit: int = MAX_RECORD_BYTES) -> Iterator[tuple[bytes, bool]]:
    """Lines with their ends, and whether one was longer than the limit: of such a line only the first 8 KiB come."""
    while line := stream.readline(limit + 1):
        if len(line) <= limit:
            yield line, False
            continue
        ended = line.endswith(b"\n")
        while not ended and (more := stream.readline(1 << 20)):
            ended = more.endswith(b"\n")
        yield line[:8192], True
