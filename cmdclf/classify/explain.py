"""Why a line has its score: spans, decoded layers, behavioural checks and labelled lines like it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cmdclf.classify.spans import Span, line_spans
from cmdclf.features.embed_layers import with_layers
from cmdclf.lines import KINDS, Layer, decode_batch, decode_layers

if TYPE_CHECKING:
    from cmdclf.classify.scorer import Scorer

__all__ = ["EXPLAINED", "explained"]

_SPAN = pa.struct(
    [
        ("layer", pa.int32()), ("kind", pa.string()), ("start", pa.int32()), ("end", pa.int32()),
        ("text", pa.string()), ("log_odds", pa.float64()),
    ]
)  # fmt: skip
_CHECK = pa.struct(
    [
        ("check", pa.string()), ("title", pa.string()), ("where", pa.string()), ("effect", pa.float32()),
        ("log_odds", pa.float32()),
    ]
)  # fmt: skip
_NEIGHBOUR = pa.struct(
    [
        ("cosine", pa.float32()), ("label", pa.string()), ("source", pa.string()), ("intent", pa.string()),
        ("technique", pa.list_(pa.string())), ("platform", pa.string()), ("command_line", pa.string()),
    ]
)  # fmt: skip
#: What each column holds: `explained`.
EXPLAINED = pa.schema(
    [
        ("layers", pa.list_(pa.string())),
        ("reasons", pa.list_(pa.string())),
        ("log_odds", pa.struct([("ngrams", pa.float64()), ("constant", pa.float64()), ("rest", pa.float64())])),
        ("spans", pa.list_(_SPAN)),
        ("checks", pa.list_(_CHECK)),
        ("neighbours", pa.list_(_NEIGHBOUR)),
    ]
)

#: Rows whose matrix is held at once.
_ROWS = 4096
#: Characters of a span that a reason shows, and spans that reasons name.
_SHOWN = 80
_TOP = 3
_NEAREST = 3


def explained(scorer: Scorer, lines: pa.RecordBatch, present: NDArray[np.bool_]) -> pa.RecordBatch:
    """EXPLAINED, one row per line; lists are empty and `log_odds` null where there is no line.

    - `layers`: what the line decodes to, 'KIND: TEXT', outermost first.
    - `log_odds`: the score is the sigmoid of `ngrams` + `rest`, and `ngrams` is `constant` and the sum over `spans`;
      `rest` is what trees and everything else add. It is read off a score, so it is exact to float32.
    - `spans`: those of layers first, in each text's order: characters `start` to `end` (exclusive) of the line
      (`layer`, `kind` null) or of `layers[layer]`'s text, with what they add, blanks around them included. They cover
      all that the n-grams read; none where the model has no n-grams.
    - `checks`: the behavioural checks that fire, by falling `effect`: what the score loses without the check, in
      `log_odds` as well. `where`: `line`, `layer` (only what it hides), or `inner command` (only a wrapped command,
      which the features don't know: no effect).
    - `neighbours`: the three most similar labelled lines of the platform that the model carries, nearest first.
    - `reasons`: a summary in words: the checks, then the spans that add most.

    Args:
        scorer: whose scores are explained.
        lines: command_line and platform without nulls.
        present: (n,) False where the line was null.
    """
    texts = lines.column("command_line").to_pylist()
    platforms = lines.column("platform").to_pylist()
    layers = [
        [Layer(layer.kind, _clean(layer.text)) for layer in decode_layers(text, platform)]
        for text, platform in zip(texts, platforms, strict=True)
    ]
    spans = _spans(scorer, lines, layers)
    sums: list[dict[str, float]] = []
    checks: list[dict[int, dict[str, Any]]] = []
    neighbours: list[list[dict[str, Any]]] = []
    for start in range(0, lines.num_rows, _ROWS):
        some = lines.slice(start, _ROWS)
        matrix = scorer.featuriser.matrix(some)
        checks += _checks(scorer, some, matrix)
        sums += _sums(scorer, matrix)
        neighbours += _nearest(scorer, matrix, platforms[start : start + _ROWS])
    _add_inner_commands(scorer, checks, layers, lines)
    rows: list[dict[str, Any] | None] = []
    weight, constant = _ngrams(scorer)
    for i in range(lines.num_rows):
        if not present[i]:
            rows.append(dict.fromkeys(EXPLAINED.names, ()) | {"log_odds": None})
            continue
        ngrams = constant + weight * sum(span.log_odds for span in spans[i])
        rows.append(
            {
                "layers": [f"{layer.kind}: {layer.text}" for layer in layers[i]],
                "reasons": [_said(check) for check in checks[i].values()]
                + [_said_of(span, weight) for span in _top(spans[i], weight)],
                "log_odds": {"ngrams": ngrams, "constant": constant, **sums[i]},
                "spans": [
                    {
                        "layer": span.layer, "kind": None if span.layer is None else layers[i][span.layer].kind,
                        "start": span.start, "end": span.end, "text": span.text,
                        "log_odds": weight * span.log_odds,
                    }
                    for span in spans[i]
                ],
                "checks": list(checks[i].values()),
                "neighbours": neighbours[i],
            }
        )  # fmt: skip
    return pa.RecordBatch.from_pylist(rows, schema=EXPLAINED)


def _clean(text: str) -> str:
    """A lone surrogate, decoded from UTF-16, is no Arrow text; as `decode_batch` replaces it."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _ngrams(scorer: Scorer) -> tuple[float, float]:
    """(what the classifier multiplies the n-grams' log-odds by, that times their bias); noughts without n-grams."""
    grams = scorer.featuriser.grams
    if grams is None:
        return 0.0, 0.0
    names, weights = scorer.featuriser.names, scorer.manifest["calibration"]["beside"]
    weight = float(weights[names.index("grams") - (len(names) - len(weights))])
    return weight, weight * grams.bias_


def _spans(scorer: Scorer, lines: pa.RecordBatch, layers: list[list[Layer]]) -> list[list[Span]]:
    """Per line its spans. A layer that one of them lies in and that `layers` lack is appended to them."""
    grams = scorer.featuriser.grams
    if grams is None:
        return [[] for _ in layers]
    column = lines.column("command_line")
    # The n-grams read a line at the platform that it looks like, whatever the row says.
    guessed = decode_batch(column)
    others: list[list[Layer]] = [[] for _ in layers]
    for row, kind, text in zip(guessed.row, guessed.kind, guessed.text.to_pylist(), strict=True):
        layer = Layer(KINDS[kind], text)  # type: ignore[arg-type]
        if layer not in layers[row]:
            others[row].append(layer)
    out: list[list[Span]] = []
    reads = with_layers(column, guessed).to_pylist()
    for line, read, known, more in zip(column.to_pylist(), reads, layers, others, strict=True):
        both = known + more
        spans = line_spans(grams, line, read, [layer.text for layer in both])
        used = sorted({span.layer for span in spans if span.layer is not None and span.layer >= len(known)})
        number = {k: len(known) + n for n, k in enumerate(used)}
        known += [both[k] for k in used]
        out.append([span if span.layer not in number else replace(span, layer=number[span.layer]) for span in spans])
    return out


def _sums(scorer: Scorer, matrix: NDArray[np.float32]) -> list[dict[str, float]]:
    """Per line `rest`: the log-odds of its score without the n-grams."""
    if scorer.featuriser.grams is not None:
        matrix = matrix.copy()
        matrix[:, scorer.featuriser.names.index("grams")] = 0
    return [{"rest": value} for value in _log_odds(scorer.run(matrix)).tolist()]


def _log_odds(score: NDArray[np.float32]) -> NDArray[np.float64]:
    """Of probabilities, where float32 tells them from 0 and 1."""
    within = np.clip(score.astype(np.float64), 1e-7, 1 - 1e-7)
    return np.asarray(np.log(within / (1 - within)))


def _nearest(scorer: Scorer, matrix: NDArray[np.float32], platforms: list[str]) -> list[list[dict[str, Any]]]:
    known = scorer.neighbours
    if known is None:
        return [[] for _ in platforms]
    return known.nearest(scorer.featuriser.embedding_of(matrix), platforms, _NEAREST)


def _checks(scorer: Scorer, lines: pa.RecordBatch, matrix: NDArray[np.float32]) -> list[dict[int, dict[str, Any]]]:
    """Per row {check: what is known of it} for the checks that the features know of, by falling effect on the score."""
    names = {name: k for k, name in enumerate(scorer.featuriser.maker.feature_names)}
    rules = scorer.featuriser.maker.rules
    columns = [names[f"check_{rule.id}"] for rule in rules.rules]
    rows, checks = np.nonzero(matrix[:, columns] > 0)
    in_sight = rules.match(lines.column("command_line"), lines.column("platform")) > 0
    hidden = ~in_sight[rows, checks]
    full = scorer.run(matrix)
    without = np.empty(len(rows), dtype=np.float32)
    for i in range(0, len(rows), _ROWS):
        some, at = checks[i : i + _ROWS], np.arange(len(rows[i : i + _ROWS]))
        changed = matrix[rows[i : i + _ROWS]]
        changed[at, np.asarray(columns)[some]] = 0
        changed[at, [names[f"checks_{rules.rules[c].category}"] for c in some]] -= 1
        changed[at, names["checks_total"]] -= 1
        unseen = np.flatnonzero(hidden[i : i + _ROWS])
        counts = [names[f"hidden_checks_{rules.rules[c].category}"] for c in some[unseen]]
        changed[unseen, np.array(counts, dtype=np.intp)] -= 1
        changed[unseen, names["hidden_checks_total"]] -= 1
        without[i : i + _ROWS] = scorer.run(changed)
    out: list[dict[int, dict[str, Any]]] = [{} for _ in range(lines.num_rows)]
    effect = full[rows] - without
    log_odds = _log_odds(full[rows]) - _log_odds(without)
    for k in np.lexsort((checks, -effect, rows)):
        rule = rules.rules[checks[k]]
        out[rows[k]][int(checks[k])] = {
            "check": rule.id, "title": rule.title, "where": "layer" if hidden[k] else "line",
            "effect": float(effect[k]), "log_odds": float(log_odds[k]),
        }  # fmt: skip
    return out


def _add_inner_commands(
    scorer: Scorer, checks: list[dict[int, dict[str, Any]]], layers: list[list[Layer]], lines: pa.RecordBatch
) -> None:
    """Add the checks that only match a decoded layer and that the features don't know of."""
    rules = scorer.featuriser.maker.rules
    texts = pa.array([layer.text for found in layers for layer in found], pa.string())
    if not len(texts):
        return
    owner = np.repeat(np.arange(len(layers)), [len(found) for found in layers])
    where = lines.column("platform").take(pa.array(owner))
    for k, column in zip(*np.nonzero(rules.match(texts, where)), strict=True):
        rule = rules.rules[column]
        inner = {"check": rule.id, "title": rule.title, "where": "inner command", "effect": None, "log_odds": None}
        checks[owner[k]].setdefault(int(column), inner)


def _top(spans: list[Span], weight: float) -> list[Span]:
    """The spans that add most, the largest first."""
    return [
        span for span in sorted(spans, key=lambda span: -weight * span.log_odds)[:_TOP] if weight * span.log_odds > 0
    ]


def _said(check: dict[str, Any]) -> str:
    if check["effect"] is None:
        return f"{check['title']} (in an inner command)"
    where = "in a decoded layer, " if check["where"] == "layer" else ""
    return f"{check['title']} ({check['check']}, {where}{check['effect']:+.3f})"


def _said_of(span: Span, weight: float) -> str:
    return f"the text '{span.text[:_SHOWN]}' ({weight * span.log_odds:+.2f} log-odds)"
