"""What the gate saw in a text: each bit names the decodings that have something to undo there."""

from __future__ import annotations

__all__ = [
    "BACKSLASH",
    "BACKTICK",
    "BRACE",
    "CARET",
    "CODES",
    "DECODER",
    "EMPTY",
    "ENCODED",
    "ENVIRONMENT",
    "ESCAPE",
    "EVERYTHING",
    "FOLD",
    "FOR",
    "NAMES",
    "PERCENT",
    "PIPE",
    "QUOTES",
    "REVERSAL",
    "ROT13",
    "SHELL_VARIABLE",
    "VARIABLE",
]

ENCODED, DECODER, QUOTES, BACKSLASH, ESCAPE, ENVIRONMENT, FOR, PERCENT = 1, 2, 4, 8, 16, 32, 64, 128
EMPTY, VARIABLE, SHELL_VARIABLE, BACKTICK, CODES, REVERSAL, ROT13, FOLD = 256, 512, 1024, 2048, 4096, 8192, 16384, 32768
CARET, PIPE, BRACE, NAMES = 1 << 16, 1 << 17, 1 << 18, 1 << 19
#: All bits, as if the gate had seen every mark.
EVERYTHING = (1 << 20) - 1
