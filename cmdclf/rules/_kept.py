"""RE2 patterns compiled once and kept, for a few lines at a time.

Arrow compiles a pattern anew at each call, which takes 0.1 ms and more: most of what a single line's checks cost.
onnxruntime has RE2 too, as the operator RegexFullMatch, and compiles when the session is made (1.5 ms). So a model of
this one operator is a compiled pattern: 15 µs a call, and some 0.2 MB that stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["match_kept"]

_STRING, _BOOL = 8, 9


def match_kept(texts: Sequence[str], regex: str, *, case: bool) -> npt.NDArray[np.bool_] | None:
    """(n,) bool: whether the pattern occurs in each text, as Arrow's `match_substring_regex` says.

    None where onnxruntime does not take the pattern: it is then Arrow's.
    """
    session = _session(regex, case)
    if session is None:
        return None
    return np.asarray(session.run(None, {"x": np.array(texts, object)})[0], np.bool_)


@lru_cache(maxsize=512)
def _session(regex: str, case: bool) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(
            # The operator matches whole texts only.
            _model(f"(?s:.*)(?{'' if case else 'i'}:{regex})(?s:.*)"),
            options,
            providers=["CPUExecutionProvider"],
        )
    except Exception:  # onnxruntime's own errors share no other base
        return None


def _model(regex: str) -> bytes:
    """An ONNX model of one operator. Written by hand: the package onnx takes longer to import than all patterns."""
    node = [(1, b"x"), (2, b"y"), (4, b"RegexFullMatch"), (5, _message((1, b"pattern"), (4, regex.encode()), (20, 3)))]
    graph = _message((1, _message(*node)), (2, b"g"), (11, _value(b"x", _STRING)), (12, _value(b"y", _BOOL)))
    return _message((1, 9), (7, graph), (8, _message((1, b""), (2, 20))))


def _value(name: bytes, kind: int) -> bytes:
    """A ValueInfoProto: an input or output of n elements."""
    shape = _message((1, _message((2, b"n"))))
    return _message((1, name), (2, _message((1, _message((1, kind), (2, shape))))))


def _message(*fields: tuple[int, int | bytes]) -> bytes:
    """A protobuf message of (field number, number or bytes)."""
    out = bytearray()
    for number, value in fields:
        if isinstance(value, int):
            out += _varint(number << 3) + _varint(value)
        else:
            out += _varint(number << 3 | 2) + _varint(len(value)) + value
    return bytes(out)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
