"""One command line as text: tokenise, mask, guess its platform."""

from __future__ import annotations

from cmdclf.lines.mask import mask
from cmdclf.lines.platform import guess_platform
from cmdclf.lines.tokenise import tokenise

__all__ = ["guess_platform", "mask", "tokenise"]
