"""Errors that a user can act on: each says what is wrong, where, and what to do about it."""

from __future__ import annotations

from pathlib import Path

__all__ = [
    "CmdclfError",
    "JudgeError",
    "LexiconError",
    "MissingExtraError",
    "ModelIntegrityError",
    "RuleError",
    "StoreError",
    "StudyError",
    "TelemetryError",
]


class CmdclfError(Exception):
    """Base of all errors that the CLI prints as one sentence with exit code 2.

    Args:
        message: what is wrong, in one sentence without a final full stop.
        remedy: what the user can do about it.
        file: the file at fault, where there is one.
        row: its row or record number, counted from 1.
    """

    def __init__(
        self, message: str, *, remedy: str = "", file: str | Path | None = None, row: int | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.file = None if file is None else str(file)
        self.row = row

    def __str__(self) -> str:
        place = "" if self.file is None else f"{self.file}{'' if self.row is None else f', row {self.row}'}: "
        cure = f". {self.remedy}" if self.remedy else ""
        # A library's own text at the end may bring its full stop along.
        return f"{place}{self.message.rstrip('. ')}{cure}"


class TelemetryError(CmdclfError):
    """A log file or a lake can't be read or written."""


class StoreError(CmdclfError):
    """The store can't be opened, or was asked for something that it doesn't hold."""


class LexiconError(CmdclfError):
    """A template or a slot of the lexicon is faulty."""


class RuleError(CmdclfError):
    """A rule file is faulty."""


class JudgeError(CmdclfError):
    """A judge can't be reached, refused, or has reached its limit."""


class ModelIntegrityError(CmdclfError):
    """A model folder is incomplete, was changed, or belongs to another feature version."""


class StudyError(CmdclfError):
    """A study file names something that is missing or impossible."""


class MissingExtraError(CmdclfError):
    """A part was asked for whose optional packages are not installed."""

    def __init__(self, extra: str, needed_for: str) -> None:
        super().__init__(
            f"{needed_for} needs the extra '{extra}', which is not installed",
            remedy=f"Install it with: pip install 'cmdclf[{extra}]'",
        )
        self.extra = extra
