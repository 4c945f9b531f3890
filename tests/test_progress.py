from __future__ import annotations

import io

from cmdclf.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_label_from_a_file_cannot_steer_the_terminal():
    stream = Terminal()
    with Progress("asking recorded(\x1b]0;owned\x07)", 2, stream=stream) as progress:
        progress.update(2)
    said = stream.getvalue().removeprefix("\r\x1b[2K")
    assert said.startswith("asking recorded(\\x1b]0;owned\\x07): 2 of 2 rows")
    assert "\x1b" not in said


def test_a_disabled_progress_writes_nothing():
    stream = Terminal()
    with Progress("x", enabled=False, stream=stream) as progress:
        progress.update()
    assert stream.getvalue() == ""
