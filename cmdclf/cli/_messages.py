"""What verbs say on a terminal: foreign text made harmless, faults of the operating system in one sentence."""

from __future__ import annotations

import errno
import os
import re
import sys
from typing import TextIO

__all__ = ["os_fault", "printable", "say"]

_REMEDIES = {
    errno.ENOSPC: "The disk is full: free some space and run the same command again, finished work is kept",
    errno.EFBIG: "A file may not grow so large: raise the limit and run the same command again, finished work is kept",
    errno.EDQUOT: "The quota is used up: free some space and run the same command again, finished work is kept",
    errno.ENOENT: "Check the path",
    errno.ENAMETOOLONG: "Check the path",
    errno.ENOTDIR: "A folder is needed here, not a file: check the path",
    errno.EEXIST: "A folder is needed here, not a file: check the path",
    errno.EISDIR: "A file is needed here, not a folder",
    errno.EACCES: "Check the permissions of the path",
    errno.EPERM: "Check the permissions of the path",
    errno.EROFS: "The file system is read-only: choose another place",
}
_INSIDE = re.compile(r"\[errno (\d+)\] ", re.IGNORECASE)
# numpy gives a short write no number: "262144 requested and 162784 written".
_SHORT_WRITE = re.compile(r"\d+ requested and \d+ written")


def printable(text: str) -> str:
    """The text on one line without control characters: a file's name or content could otherwise steer the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def say(text: str = "", *, file: TextIO | None = None) -> None:
    """Print text (on standard output) whose lines may hold foreign content; line feeds stay, the rest is `printable`.

    What the terminal's encoding lacks is escaped, too.
    """
    stream = sys.stdout if file is None else file
    shown = "\n".join(printable(line) for line in text.split("\n"))
    encoding = getattr(stream, "encoding", None) or "utf-8"
    print(shown.encode(encoding, "backslashreplace").decode(encoding), file=stream)


def os_fault(error: OSError) -> str:
    """The error in one sentence with place and remedy; printable."""
    import shutil

    place, number, reason = error.filename, error.errno, str(error.strerror or error)
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list):
        # One entry for each file of a copied folder: (source, target, text of its error).
        _, place, reason = (str(part) for part in error.args[0][0])
    found = _INSIDE.search(reason)
    if number is None and found:
        number = int(found[1])
    if number is None and isinstance(error, FileNotFoundError):
        number = errno.ENOENT
    if number is None and _SHORT_WRITE.search(reason):
        number = errno.ENOSPC
        reason = os.strerror(number)
    if place is not None and number is not None and number in errno.errorcode:
        reason = os.strerror(number)
    reason = _INSIDE.sub("", reason).replace(". Detail: ", ": ").rstrip(".")
    name = "" if place is None else f"{os.fsdecode(place) if isinstance(place, str | bytes) else place}: "
    return printable(f"{name}{reason}. {_REMEDIES.get(number or 0, 'Run it again with --debug for the traceback')}")
