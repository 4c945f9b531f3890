"""The texts that command lines hide, layer by layer, within fixed bounds of depth, size and work.

A decoding is a small function in one of this folder's files and one line of that file's registry. `suspects` finds
the few lines of a batch that are worth decoding; `decode_batch` decodes those.
"""

from __future__ import annotations

from cmdclf.lines.decode.batch import DecodedBatch, decode_batch
from cmdclf.lines.decode.gate import suspects
from cmdclf.lines.decode.layer import KINDS, PLAIN, Decoding, Kind, Layer, Text
from cmdclf.lines.decode.layers import DECODINGS, Decoded, decode_layers, decode_line

__all__ = [
    "DECODINGS",
    "KINDS",
    "PLAIN",
    "Decoded",
    "DecodedBatch",
    "Decoding",
    "Kind",
    "Layer",
    "Text",
    "decode_batch",
    "decode_layers",
    "decode_line",
    "suspects",
]
