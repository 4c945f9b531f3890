"""Logs without command lines: an exception's message and its source lines may quote the request."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path

__all__ = ["WithoutMessages", "quieten"]


class WithoutMessages(logging.Filter):
    """Leaves of an exception its kind and the places it passed, not what it said."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always true: the record is kept, in its short form."""
        kind = record.exc_info[0] if record.exc_info else None
        if record.name == "asyncio":
            # Its messages print futures with the exceptions they hold.
            record.msg, record.args = "asyncio: a callback or task failed", ()
        if record.exc_info and kind is not None:
            frames = traceback.extract_tb(record.exc_info[2])[-6:]
            places = " > ".join(f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in frames)
            record.msg, record.args = f"{record.getMessage()} [{kind.__name__} at {places}]", ()
        record.exc_info = record.exc_text = record.stack_info = None
        return True


def quieten() -> None:
    """Put the filter on each handler that the server process logs through."""
    for name in ("", "bentoml", "uvicorn.error", "circus"):
        for handler in logging.getLogger(name).handlers:
            if not any(isinstance(f, WithoutMessages) for f in handler.filters):
                handler.addFilter(WithoutMessages())
