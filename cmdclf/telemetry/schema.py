"""The process event that every reader delivers, and the rule for its text."""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["MAX_LINE_BYTES", "PLATFORMS", "PROCESS_EVENT", "clean_array", "clean_text"]

#: A longer command line is quarantined: no sensor records one (Windows ends at 64 KiB, Linux at 128 KiB per argument).
MAX_LINE_BYTES = 1 << 20

PLATFORMS = ("windows", "linux", "macos")

#: One process start as a sensor recorded it. `quoting` is `joined` where an argument vector had to be joined.
PROCESS_EVENT = pa.schema(
    [
        pa.field("event_time", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("platform", pa.string(), nullable=False),
        pa.field("command_line", pa.string(), nullable=False),
        pa.field("image", pa.string()),
        pa.field("parent_image", pa.string()),
        pa.field("parent_command_line", pa.string()),
        pa.field("user", pa.string()),
        pa.field("host", pa.string()),
        pa.field("source_format", pa.string(), nullable=False),
        pa.field("quoting", pa.string(), nullable=False),
        pa.field("count", pa.int32(), nullable=False),
    ]
)

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code == 0:
        return "\\x00"
    if 0xDC80 <= code <= 0xDCFF:  # a byte that `surrogateescape` carried through a decoder
        return f"\\x{code - 0xDC00:02x}"
    return "".join(f"\\x{byte:02x}" for byte in match.group().encode("utf-8", "surrogatepass"))


def clean_text(value: str | bytes) -> str:
    r"""The value as text that can be stored: valid UTF-8 without NUL.

    Undecodable bytes, NUL and lone surrogates (Windows command lines are UTF-16 and may hold them) become the
    four-character text `\xNN`, byte by byte. Text that is storable already comes back unchanged, so the function is
    idempotent.

    >>> clean_text(b"caf\xe9\0")
    'caf\\xe9\\x00'
    """
    text = value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value
    if text.isascii() and "\x00" not in text:
        return text
    return _UNSTORABLE.sub(_escape, text)


def clean_array(values: pa.Array) -> pa.StringArray:
    """`clean_text` of every value of a string or binary array; nulls stay null.

    Arrow doesn't check the UTF-8 of a string column that a file declares as such, so it is checked here.
    """
    binary = pa.types.is_binary(values.type) or pa.types.is_large_binary(values.type)
    binary = binary or pa.types.is_fixed_size_binary(values.type) or pa.types.is_binary_view(values.type)
    try:
        text = values.cast(pa.string())
        text.validate(full=True)
    except pa.ArrowInvalid:
        as_bytes = values if binary else values.cast(pa.binary())
        return pa.array([None if v is None else clean_text(v) for v in as_bytes.to_pylist()], pa.string())
    if pc.any(pc.match_substring(text, "\x00")).as_py():
        text = pc.replace_substring(text, "\x00", "\\x00")
    return text
