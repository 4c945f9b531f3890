"""Types of arguments that several verbs share."""

from __future__ import annotations

import argparse

__all__ = ["seed"]

_END = 1 << 32


def seed(text: str) -> int:
    """A whole number that every random generator here takes: 0 to 4,294,967,295."""
    try:
        number = int(text)
    except ValueError:
        number = -1
    if not 0 <= number < _END:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 to {_END - 1}")
    return number
