"""An explanation as text for people: the line with its spans marked, what it hides, checks and neighbours.

Everything foreign goes through `printable`: neither the line nor a layer nor a neighbour can steer the terminal.
"""

from __future__ import annotations

import unicodedata
from typing import Any

from cmdclf.cli._messages import printable

__all__ = ["explained_text"]

#: Columns of a row of the line; longer ones go on in the next row.
_WIDTH = 96
#: Rows of one text that are shown: the first, and those with the strongest marks.
_MOST_ROWS = 6
#: Spans that are marked, and the least that one must add or take.
_MOST_SPANS = 8
_LEAST = 0.1
_MOST_CHECKS = 8
_INDENT = "  "


def explained_text(row: dict[str, Any]) -> str:
    """A row of `cmdclf score --explain` as lines of text, an empty one at the end.

    Args:
        row: score, verdict, command_line and the columns of EXPLAINED; score and log_odds null where there is no line.
    """
    if row["log_odds"] is None:
        return "no command line\n\n"
    out = [f"{row['verdict']}  {row['score']:.4f}"]
    strong = sorted((s for s in row["spans"] if abs(s["log_odds"]) >= _LEAST), key=lambda s: -abs(s["log_odds"]))
    strong = strong[:_MOST_SPANS]
    out += _marked(row["command_line"], [s for s in strong if s["layer"] is None])
    for number, layer in enumerate(row["layers"]):
        kind, _, text = layer.partition(": ")
        own = [s["log_odds"] for s in row["spans"] if s["layer"] == number]
        out.append(f"{_INDENT}decoded ({kind})" + (f", n-grams {sum(own):+.2f}" if own else ""))
        out += _marked(text, [s for s in strong if s["layer"] == number])
    sums = row["log_odds"]
    parts = [f"trees and others {sums['rest']:+.2f}"]
    if row["spans"]:
        spans = sum(s["log_odds"] for s in row["spans"])
        parts.insert(0, f"n-grams {sums['ngrams']:+.2f} (spans {spans:+.2f}, constant {sums['constant']:+.2f})")
    out.append(f"{_INDENT}log-odds: {', '.join(parts)}")
    for check in row["checks"][:_MOST_CHECKS]:
        adds = "" if check["log_odds"] is None else f", {check['log_odds']:+.2f}"
        out.append(f"{_INDENT}check: {printable(check['title'])} ({check['check']}, in the {check['where']}{adds})")
    if len(row["checks"]) > _MOST_CHECKS:
        out.append(f"{_INDENT}check: {len(row['checks']) - _MOST_CHECKS} more")
    for near in row["neighbours"]:
        known = [near["label"], near["source"], near["intent"], ", ".join(near["technique"])]
        out.append(f"{_INDENT}like: {near['cosine']:.2f}  {printable('; '.join(item for item in known if item))}")
        text = near["command_line"]
        first = _cells(text[:_WIDTH])
        out.append(f"{_INDENT * 2}{first[0][0]}{'' if len(first[0]) == 1 and len(text) <= _WIDTH else ' ...'}")
    return "\n".join(out) + "\n\n"


def _marked(text: str, spans: list[dict[str, Any]]) -> list[str]:
    """The text in rows, under each the marks of the spans in it: `^` where one adds, `-` where it takes."""
    texts, places = _cells(text[: max((s["end"] for s in spans), default=0) + _WIDTH])
    # The first row, then by the strength of what is marked in it: spans come strongest first.
    ranked = dict.fromkeys([0, *(row for s in spans for row, _ in places[s["start"] : s["end"]])])
    out: list[str] = []
    last = -1
    for number in sorted(list(ranked)[:_MOST_ROWS]):
        if number > last + 1:
            out.append(f"{_INDENT * 2}...")
        last = number
        out += _row(number, texts, places, spans)
    if last + 1 < len(texts) or len(text) > len(places):
        out.append(f"{_INDENT * 2}...")
    return out


def _row(number: int, texts: list[str], places: list[tuple[int, int]], spans: list[dict[str, Any]]) -> list[str]:
    marks = [" "] * (2 * _WIDTH)
    labels: list[list[str]] = []
    for span in sorted(spans, key=lambda s: s["start"]):
        columns = [column for row, column in places[span["start"] : span["end"]] if row == number]
        if not columns:
            continue
        ends = [column for row, column in places[span["end"] : span["end"] + 1] if row == number]
        stop = max(ends[0] if ends else _columns(texts[number]), columns[0] + 1)
        sign = "^" if span["log_odds"] > 0 else "-"
        marks[columns[0] : stop] = sign * (stop - columns[0])
        if places[span["start"]][0] == number:
            _put(labels, columns[0], f"{span['log_odds']:+.2f}")
    lines = [texts[number], "".join(marks).rstrip(), *("".join(label).rstrip() for label in labels)]
    return [f"{_INDENT * 2}{line}".rstrip() for line in lines if line.strip()]


def _put(labels: list[list[str]], column: int, text: str) -> None:
    """Write a label at its column into the first row where it touches no other one."""
    for row in labels:
        if not "".join(row[max(0, column - 1) : column + len(text) + 1]).strip():
            break
    else:
        row = [" "] * (2 * _WIDTH)
        labels.append(row)
    row[column : column + len(text)] = text


def _cells(text: str) -> tuple[list[str], list[tuple[int, int]]]:
    """(rows of at most `_WIDTH` columns, (row, column) of each character)."""
    rows: list[list[str]] = [[]]
    places: list[tuple[int, int]] = []
    column = 0
    for character in text:
        shown = printable(character)
        width = _columns(shown)
        if column + width > _WIDTH:
            rows.append([])
            column = 0
        places.append((len(rows) - 1, column))
        rows[-1].append(shown)
        column += width
    return ["".join(row) for row in rows], places


def _columns(text: str) -> int:
    """Columns that a terminal gives a printable text: wide characters take two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.category(c) in ("Mn", "Me") else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )
