"""The name of a command line: the same on every machine and in every room."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa

__all__ = ["command_id", "command_ids"]

_HEX_CHARACTERS = 32


def command_id(platform: str, command_line: str) -> str:
    """The first 16 bytes of SHA-256 over `platform \\0 command_line` in UTF-8, as 32 lower-case hex characters."""
    return hashlib.sha256(f"{platform}\0{command_line}".encode()).hexdigest()[:_HEX_CHARACTERS]


def command_ids(platform: pa.StringArray, command_line: pa.StringArray) -> pa.StringArray:
    """The `command_id` of every row.

    Args:
        platform: (n,) string, without nulls.
        command_line: (n,) string, without nulls.

    Returns:
        (n,) string of 32 lower-case hex characters. About a microsecond a row: the hash is the cost, the text is read
        from the Arrow buffer without making Python strings.

    Raises:
        ValueError: the lengths differ, or there is a null.
    """
    lines = _plain(command_line)
    platforms = _plain(platform)
    if len(lines) != len(platforms):
        raise ValueError(f"{len(platforms)} platforms for {len(lines)} command lines")
    if lines.null_count or platforms.null_count:
        raise ValueError("a command line or platform is null, so it has no command_id")
    if not len(lines):
        return pa.array([], pa.string())
    coded = platforms.dictionary_encode()
    bases = [hashlib.sha256(f"{name}\0".encode()) for name in coded.dictionary.to_pylist()]
    which = coded.indices.to_pylist()
    _, offset_buffer, data_buffer = lines.buffers()
    offsets = np.frombuffer(offset_buffer, np.int32)[lines.offset : lines.offset + len(lines) + 1].tolist()
    data = memoryview(data_buffer) if data_buffer is not None else memoryview(b"")
    digests = bytearray()
    start = offsets[0]
    for index, end in zip(which, offsets[1:], strict=True):
        state = bases[index].copy()
        state.update(data[start:end])
        digests += state.digest()[:16]
        start = end
    text_offsets = np.arange(0, _HEX_CHARACTERS * (len(lines) + 1), _HEX_CHARACTERS, dtype=np.int32)
    return pa.StringArray.from_buffers(len(lines), pa.py_buffer(text_offsets), pa.py_buffer(digests.hex().encode()))


def _plain(values: pa.Array | pa.ChunkedArray) -> pa.StringArray:
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    return values if values.type == pa.string() else values.cast(pa.string())
