"""How like real telemetry a replay is: its lines and their frequencies beside those of real events, on one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.lines import mask
from cmdclf.study.plots import new_figure, styled, svg_of

__all__ = ["Profile", "compare", "profile", "realism_page"]

CLASSES = ("lower case", "upper case", "digits", "blanks", "punctuation", "not ASCII")
_TOP = 100
_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class Profile:
    """What events look like.

    Attributes:
        events: how many.
        length, entropy, tokens: (d,) float64 of each distinct line: characters, bits a byte, words.
        classes: (6,) float64 share of each of `CLASSES` in the bytes of the distinct lines.
        counts: (d,) int64 events of each distinct line, descending.
        template_events, template_lines: events and distinct lines of each masked line, descending.
    """

    events: int
    length: np.ndarray
    entropy: np.ndarray
    tokens: np.ndarray
    classes: np.ndarray
    counts: np.ndarray
    template_events: np.ndarray
    template_lines: np.ndarray

    def numbers(self) -> dict[str, float]:
        """The profile in a few numbers."""
        return {
            "events": self.events,
            "distinct lines": len(self.counts),
            "distinct lines an event": len(self.counts) / self.events,
            "share of distinct lines seen once": float((self.counts == 1).mean()),
            f"events of the {_TOP} most frequent lines": float(self.counts[:_TOP].sum() / self.events),
            "exponent of the lines' frequencies": exponent(self.counts),
            "masked lines": len(self.template_lines),
            f"distinct lines of the top {_TOP} masked lines": float(
                self.template_lines[:_TOP].sum() / self.template_lines.sum()
            ),
            f"events of the top {_TOP} masked lines": float(self.template_events[:_TOP].sum() / self.events),
            "median length": float(np.median(self.length)),
            "99th percentile of length": float(np.percentile(self.length, 99)),
            "mean entropy (bits a byte)": float(self.entropy.mean()),
            "mean words": float(self.tokens.mean()),
        }


def exponent(counts: np.ndarray) -> float:
    """The exponent of a power law through frequencies (descending) of lines seen at least three times.

    A straight line through the logarithms of rank and frequency, at 30 ranks evenly spaced on the logarithmic axis so
    that the many rare lines don't outweigh the few frequent ones; 0 where fewer than three ranks are left.
    """
    n = int((counts >= 3).sum())
    if n < 3:
        return 0.0
    ranks = np.unique(np.geomspace(1, n, 30).astype(np.int64))
    return float(-np.polyfit(np.log(ranks), np.log(counts[ranks - 1]), 1)[0])


def profile(lines: pa.StringArray) -> Profile:
    """The profile of the command lines of events, one row each; about 10 microseconds a distinct line."""
    encoded = lines.dictionary_encode()
    texts = encoded.dictionary
    counts = np.bincount(encoded.indices.to_numpy(), minlength=len(texts))
    length = pc.utf8_length(texts).to_numpy().astype(np.float64)
    words = pc.list_value_length(pc.utf8_split_whitespace(pc.utf8_trim_whitespace(texts)))
    entropy, classes = _bytes(texts)
    masked = mask(texts).dictionary_encode().indices.to_numpy()
    return Profile(
        events=len(lines),
        length=length,
        entropy=entropy,
        tokens=words.to_numpy().astype(np.float64),
        classes=classes,
        counts=np.sort(counts)[::-1],
        template_events=np.sort(np.bincount(masked, counts).astype(np.int64))[::-1],
        template_lines=np.sort(np.bincount(masked))[::-1],
    )


def _bytes(texts: pa.StringArray) -> tuple[np.ndarray, np.ndarray]:
    """Entropy of each text's bytes, and the share of each class of characters in all bytes."""
    kind = np.full(256, CLASSES.index("punctuation"))
    for first, last, name in (
        (97, 122, "lower case"), (65, 90, "upper case"), (48, 57, "digits"), (32, 32, "blanks"), (9, 13, "blanks"),
        (128, 255, "not ASCII"),
    ):  # fmt: skip
        kind[first : last + 1] = CLASSES.index(name)
    entropy, sums = [], np.zeros(len(CLASSES))
    for start in range(0, len(texts), _ROWS):
        part = pa.concat_arrays([texts[start : start + _ROWS]])
        offsets = np.frombuffer(part.buffers()[1], np.int32)[: len(part) + 1]
        data = np.frombuffer(part.buffers()[2], np.uint8)[: offsets[-1]].astype(np.int64)
        row = np.repeat(np.arange(len(part)), np.diff(offsets))
        histogram = np.bincount(row * 256 + data, minlength=len(part) * 256).reshape(-1, 256)
        share = histogram / np.maximum(histogram.sum(axis=1, keepdims=True), 1)
        entropy.append(-(share * np.log2(np.where(share > 0, share, 1))).sum(axis=1))
        sums += np.bincount(kind, histogram.sum(axis=0), minlength=len(CLASSES))
    return np.concatenate(entropy), sums / max(sums.sum(), 1)


def compare(replayed: Profile, real: Profile) -> dict[str, float]:
    """Distances from 0 to 1: Kolmogorov-Smirnov for distributions, total variation for classes of characters."""
    return {
        **{name: _distance(getattr(replayed, name), getattr(real, name)) for name in ("length", "entropy", "tokens")},
        "classes": float(np.abs(replayed.classes - real.classes).sum() / 2),
    }


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    values = np.concatenate([a, b])
    below = [np.searchsorted(np.sort(x), values, side="right") / len(x) for x in (a, b)]
    return float(np.abs(below[0] - below[1]).max())


_COLOURS = ("#D55E00", "#0072B2", "#009E73", "#56B4E9")


@styled
def _shapes_plot(profiles: Mapping[str, Profile]) -> str:
    """SVG of the distributions of length, entropy and words over distinct lines, and the classes of characters."""
    figure, axes = new_figure(15, 3.4, 4)
    for axis, (name, label) in zip(
        axes, (("length", "characters (log)"), ("entropy", "bits a byte"), ("tokens", "words (log)")), strict=False
    ):
        for colour, (title, one) in zip(_COLOURS, profiles.items(), strict=False):
            values = np.sort(getattr(one, name))
            axis.plot(values, np.arange(1, len(values) + 1) / len(values), color=colour, label=title)
        if name != "entropy":
            axis.set_xscale("log")
        axis.set_xlabel(label)
        axis.set_ylim(0, 1)
    axes[0].set_ylabel("share of distinct lines")
    axes[0].legend(loc="lower right", fontsize=8)
    width = 0.8 / len(profiles)
    for k, (colour, one) in enumerate(zip(_COLOURS, profiles.values(), strict=False)):
        axes[3].bar(np.arange(len(CLASSES)) + k * width, one.classes, width, color=colour)
    axes[3].set_xticks(np.arange(len(CLASSES)) + 0.3, CLASSES, rotation=30, ha="right", fontsize=8)
    axes[3].set_ylabel("share of bytes")
    figure.tight_layout()
    return svg_of(figure)


@styled
def _ranks_plot(profiles: Mapping[str, Profile]) -> str:
    """SVG of rank and frequency, both logarithmic: events by line, events and distinct lines by masked line."""
    figure, axes = new_figure(15, 3.6, 3)
    for axis, (name, label) in zip(
        axes,
        (
            ("counts", "events of each distinct line"),
            ("template_events", "events of each masked line"),
            ("template_lines", "distinct lines of each masked line"),
        ),
        strict=True,
    ):
        for colour, (title, one) in zip(_COLOURS, profiles.items(), strict=False):
            values = getattr(one, name)
            ranks = np.unique(np.geomspace(1, len(values), 200).astype(np.int64))
            axis.plot(ranks, values[ranks - 1] / values.sum(), color=colour, label=title)
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_xlabel("rank (log)")
        axis.set_title(label, fontsize=10)
    axes[0].set_ylabel("share (log)")
    axes[0].legend(loc="lower left", fontsize=8)
    figure.tight_layout()
    return svg_of(figure)


_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;margin:1rem 0}td,th{padding:.2rem .7rem;border-bottom:1px solid #ddd;"
    "text-align:right}td:first-child,th:first-child{text-align:left}svg{max-width:100%;height:auto}.note{color:#666}"
)
_NOTE = (
    "Both sides have the same number of events, drawn at random, because shares of distinct lines depend on it. "
    "Length, entropy, words and characters are taken over distinct lines. A masked line is a line whose numbers, "
    "GUIDs, hashes and volatile paths are evened out. Distances: Kolmogorov-Smirnov for length, entropy and words, "
    "half the sum of absolute differences for characters; 0 is alike, 1 is apart."
)


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 or value == int(value) else f"{value:.3g}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = "".join(f"<th>{escape(head)}</th>" for head in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{cells}</tr>{body}</table>"


def realism_page(pairs: Mapping[str, tuple[Profile, Profile]], speed: Sequence[Mapping[str, Any]] = ()) -> str:
    """The page as HTML text: no script, no request to anywhere.

    Args:
        pairs: name of the comparison -> replayed and real profile.
        speed: rows of a benchmark: case, ours, peer, peer_name, ratio, unit.
    """
    parts = ["<h1>Replay beside real telemetry</h1>", f"<p class=note>{escape(_NOTE)}</p>"]
    for name, (replayed, real) in pairs.items():
        ours, theirs, apart = replayed.numbers(), real.numbers(), compare(replayed, real)
        parts += [
            f"<h2>{escape(name)}</h2>",
            _table(["", "replay", "real"], [[key, _shown(ours[key]), _shown(theirs[key])] for key in ours]),
            _table(["distance between the two", ""], [[key, f"{value:.3f}"] for key, value in apart.items()]),
            _shapes_plot({"replay": replayed, "real": real}),
            _ranks_plot({"replay": replayed, "real": real}),
        ]
    if speed:
        heads = ("case", "ours", "peer", "peer is", "ratio", "unit")
        keys = ("case", "ours", "peer", "peer_name", "ratio", "unit")
        rows = [[f"{row[k]:,}" if isinstance(row[k], int) else str(row[k] or "") for k in keys] for row in speed]
        parts += ["<h2>Speed</h2>", _table(heads, rows)]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>cmdclf: replay beside real telemetry</title>'
        f"<style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )
