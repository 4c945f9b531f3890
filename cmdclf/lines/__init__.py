"""One command line as text: tokenise, mask, decode its layers, redact its secrets, guess its platform."""

from __future__ import annotations

from cmdclf.lines.decode import KINDS, Decoded, DecodedBatch, Layer, decode_batch, decode_layers, decode_line, suspects
from cmdclf.lines.hidden_secrets import Shown, redact_hidden, redact_hidden_batch
from cmdclf.lines.mask import mask
from cmdclf.lines.platform import guess_platform
from cmdclf.lines.redact import Redacted, Secret, redact, redact_batch, redact_many
from cmdclf.lines.tokenise import tokenise

__all__ = [
    "KINDS",
    "Decoded",
    "DecodedBatch",
    "Layer",
    "Redacted",
    "Secret",
    "Shown",
    "decode_batch",
    "decode_layers",
    "decode_line",
    "guess_platform",
    "mask",
    "redact",
    "redact_batch",
    "redact_hidden",
    "redact_hidden_batch",
    "redact_many",
    "suspects",
    "tokenise",
]
