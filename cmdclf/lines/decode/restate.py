"""A line with everything that it hides in its place: what a reader sees who undid each trick where it stands.

`eval "$(rev <<< 'imaohw')"; ls` -> `whoami; ls`. Nothing that isn't hidden is lost, so padding with a decoy that
decodes to something harmless changes no more of the text than its own place.
"""

from __future__ import annotations

import re

from cmdclf.lines.decode.layer import Budget
from cmdclf.lines.decode.quoting import plain_word

__all__ = ["Restating"]

_CMD_SET = re.compile(
    r"(?i)(?:(?<=[\s&|(\"'])|^)set\s{1,8}\"?([a-z_]\w{0,63})=([^&|\"\r\n]{1,2000})\"?\s{0,4}&{1,2}\s{0,4}"
)
_SHELL_SET = re.compile(
    r"(?:(?<=[\s;&({\"'])|^)(\$?)([A-Za-z_]\w{0,39})\s{0,2}=\s{0,2}"
    r"((?:'[^']{0,2000}+'|\"[^\"$`]{0,2000}+\"|\\['\"]|[\w./:@%+,#~-]{1,500}+){1,40}+)\s{0,4};\s{0,4}"
)
_SHORTEST = 2
_MOST_PLACES = 128


class Restating:
    """The texts of a line's decoding as they were rewritten, and which place in each stands for which other text.

    Args:
        limit: bound of a restated text, in characters.

    Attributes:
        places: for each text (start, end, the text that stands there).
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rewritten: dict[str, str] = {}
        self.places: dict[str, list[tuple[int, int, str]]] = {}
        self._done: dict[str, str] = {}

    def rewritten(self, raw: str, text: str) -> None:
        """What a text became before anything was taken out of it."""
        self._rewritten[raw] = text

    def place(self, raw: str, span: tuple[int, int], inner: str) -> None:
        """That the span of the rewritten text stands for the inner text."""
        known = self.places.setdefault(raw, [])
        if len(known) < _MOST_PLACES:
            known.append((*span, inner))

    def of(self, raw: str, budget: Budget) -> str:
        """The text restated; at most `limit` characters, each text once however often it is placed."""
        held = self._done.get(raw)
        if held is not None:
            return held
        text = self._rewritten.get(raw, raw)
        # Texts that decode to each other end here.
        self._done[raw] = text
        out: list[str] = []
        size = at = 0
        for start, end, inner in _apart(self.places.get(raw, [])):
            piece = self.of(inner, budget)
            size += start - at + len(piece)
            if size > self._limit or not budget.spend(8):
                break
            out += (text[at:start], piece)
            at = end
        out.append(text[at:])
        restated = _without_settled("".join(out)[: self._limit], budget)
        self._done[raw] = restated
        return restated


def _apart(places: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """The widest places that don't overlap, in their order."""
    found: list[tuple[int, int, str]] = []
    for place in sorted(places, key=lambda p: p[0] - p[1]):
        if all(place[1] <= other[0] or other[1] <= place[0] for other in found):
            found.append(place)
    return sorted(found)


def _without_settled(text: str, budget: Budget) -> str:
    """The text without assignments whose name it doesn't use again and whose value stands in it once more.

    `a=cu;b=rl;curl x` -> `curl x`: such variables were put in their places.
    """
    for pattern, where in ((_CMD_SET, "set "), (_SHELL_SET, "=")):
        if where not in text.lower():
            continue
        for match in list(pattern.finditer(text))[:64]:
            name, value = match[match.re.groups - 1], match[match.re.groups]
            value = (value if pattern is _CMD_SET else plain_word(value)).strip()
            if not budget.spend(2 * len(text)):
                return text
            rest = text.replace(match[0], "", 1)
            used = re.search(rf"(?i)[$%!{{:]{name}\b", rest)
            if not used and (len(value) < _SHORTEST or value in rest or value in budget.settled):
                text = rest
    return text
