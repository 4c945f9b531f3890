"""`report.html`: one page that opens offline, made of results.json alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from cmdclf.progress import duration
from cmdclf.study.curves import saturation_rows, saturation_text
from cmdclf.study.plots import LABELS, arms_plot, curves_plot, funnel_plot, roc_plot

__all__ = ["arms_table", "headline", "write_report"]

_CSS = """
body{font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;color:#1c1c1c;background:#fff;
max-width:1230px;margin:2.5rem auto;padding:0 1.2rem}
h1{font-size:1.7rem;margin-bottom:.2rem}
h2{font-size:1.2rem;margin-top:2.4rem;border-bottom:1px solid #ddd;padding-bottom:.2rem}
p.lead{font-size:1.1rem}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:.92rem}
th,td{padding:.3rem .5rem;text-align:right;border-bottom:1px solid #e7e7e7}
td{white-space:nowrap}
th:first-child,td:first-child,.facts td{text-align:left}
.facts td{white-space:normal;overflow-wrap:anywhere}.facts td:first-child{white-space:nowrap;padding-right:2rem}
thead th{border-bottom:2px solid #888;vertical-align:bottom}
tr.best td{font-weight:600}tr.rule td{border-top:2px solid #888}
@media(max-width:1230px){td{white-space:normal}}
.note{color:#555;font-size:.9rem}svg{max-width:100%;height:auto}
"""

_FPRS = ("0.01", "0.001")
_ARMS_NOTE = (
    "Each arm adds to its baseline the lines that the judge called benign; all arms may ask about the same number of "
    "lines. Bold: best incident AUC of a baseline. Intervals: bootstrap over near-duplicate groups of the test; the "
    "difference to the random control is paired. In brackets: the test has too few benign lines to resolve that rate. "
    "The time-split test is labelled by the baseline itself: it shows drift, not quality."
)
_CURVES_NOTE = (
    "Near-distinct: groups that one of the scale's anomalies belongs to; a group met at both scales counts once "
    "together. New: near-distinct lines that no earlier day had, and in pale bars distinct ones. Below: first day from "
    "which a week brings less than that share of the first week's new lines. Law: N = K n^b near-distinct lines among "
    "n anomalies (Heaps), fitted to the days; b below 1 means that every further anomaly brings less."
)
_CURVES_HEADS = (
    "scale", "all", "distinct", "near-distinct", "new a day, first week", "new a day, last week",
    "new among distinct, last week", "below 25 % from day", "below 10 % from day", "K", "b", "next 30 days",
)  # fmt: skip


def _share(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _difference(given: Mapping[str, Any] | None) -> str:
    return "–" if not given else f"{given['value']:+.3f} [{given['ci95'][0]:+.3f}, {given['ci95'][1]:+.3f}]"


def _row_values(arm: Mapping[str, Any]) -> list[str]:
    incident = arm["tests"].get("incident", {})
    split = arm["tests"].get("time_split", {})
    interval = incident.get("auc_ci95") or [None, None]
    tpr = incident.get("tpr_at_fpr", {})
    return [
        f"{arm['train']['benign']:,}",
        f"{arm['train']['malicious']:,}",
        f"{arm['train']['added']:,}",
        _share(incident.get("auc")),
        f"{_share(interval[0])} to {_share(interval[1])}",
        _difference(incident.get("auc_minus_random")),
        *(f"({_share(tpr.get(f))})" if f in incident.get("unresolved", {}) else _share(tpr.get(f)) for f in _FPRS),
        _share(split.get("auc"), 4),
    ]


_HEADS = (
    "arm", "benign", "malicious", "added", "incident AUC", "95 % interval", "minus random control [95 %]",
    "TPR at FPR 1e-2", "TPR at FPR 1e-3", "time-split AUC",
)  # fmt: skip


def _title(arm: Mapping[str, Any]) -> str:
    return f"{arm['baseline'].upper()} {LABELS[arm['arm']] if arm['arm'] != 'base' else ''}".strip()


def arms_table(results: Mapping[str, Any]) -> str:
    """The arms as a plain text table."""
    rows = [list(_HEADS)] + [[_title(a), *_row_values(a)] for a in results["arms"]]
    widths = [max(len(r[i]) for r in rows) for i in range(len(_HEADS))]
    lines = [
        "  ".join(
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    lines.insert(1, "  ".join("-" * w for w in widths))
    return "\n".join(lines)


def headline(results: Mapping[str, Any]) -> str:
    """What the study found, in two or three sentences."""
    sentences = []
    for baseline in ("ab", "rb"):
        arms = {
            a["arm"]: a["tests"].get("incident", {}).get("auc") for a in results["arms"] if a["baseline"] == baseline
        }
        known = {k: v for k, v in arms.items() if v is not None and k != "base"}
        if arms.get("base") is None or not known:
            continue
        best = max(known, key=lambda k: known[k])
        name = {"ab": "aggregated baseline", "rb": "regex baseline"}[baseline]
        text = f"On incidents the {name} reaches AUC {arms['base']:.3f} alone"
        text += f" and {known[best]:.3f} with {LABELS[best][2:]}"
        if "random" in known and best != "random":
            text += f"; the same number of labels spent on random lines gives {known['random']:.3f}"
        sentences.append(text + ".")
    labels = results["labels"]
    sentences.append(
        f"{labels['asked']:,} lines of {results['data']['train_distinct']:,} distinct ones were put to the judge "
        f"({', '.join(labels['judge']) or 'none'}): {labels['benign']:,} benign, {labels['malicious']:,} malicious, "
        f"{labels['unsure']:,} unsure ({labels['vetoed']:,} by veto), {labels['pending']:,} unanswered."
    )
    return " ".join(sentences)


def _html_table(heads: Sequence[str], rows: Sequence[Sequence[str]], classes: Sequence[str] = ()) -> str:
    """A table as HTML; without heads it is one of facts: names and values, both to the left."""
    # Hyphens that do not break: a narrow column must not part 1e-3.
    head = "".join(f"<th>{escape(h)}</th>" for h in heads).replace("-", "\u2011")
    body = "".join(
        f'<tr class="{cls}">' + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>"
        for row, cls in zip(rows, list(classes) or [""] * len(rows), strict=True)
    )
    if not heads:
        return f'<table class="facts"><tbody>{body}</tbody></table>'
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _classes(arms: Sequence[Mapping[str, Any]]) -> list[str]:
    out = []
    for number, arm in enumerate(arms):
        rivals = [a["tests"].get("incident", {}).get("auc") or 0 for a in arms if a["baseline"] == arm["baseline"]]
        best = (arm["tests"].get("incident", {}).get("auc") or -1) == max(rivals)
        first = number > 0 and arms[number - 1]["baseline"] != arm["baseline"]
        out.append(" ".join(c for c, on in (("best", best), ("rule", first)) if on))
    return out


def _with_interval(group: Mapping[str, Any] | None) -> str:
    return "–" if group is None else f"{group['auc']:.3f} ({group['auc_ci95'][0]:.3f} to {group['auc_ci95'][1]:.3f})"


def _groups(arms: Sequence[Mapping[str, Any]]) -> str:
    kinds = sorted({k for a in arms for k in a["tests"].get("incident", {}).get("by_benign_group", {})})
    if not kinds:
        return ""
    rows = []
    for arm in arms:
        groups = arm["tests"]["incident"].get("by_benign_group", {})
        rows.append([_title(arm), *(_with_interval(groups.get(k)) for k in kinds)])
    note = "All malicious lines of the incident test against one group of its benign lines at a time."
    return f"<h2>Which benign lines are told apart</h2><p class=note>{note}</p>" + _html_table(["arm", *kinds], rows)


def _removed(arms: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for name in sorted({n for a in arms for n in a["tests"]}):
        for baseline in sorted({a["baseline"] for a in arms}):
            test = next((a["tests"][name] for a in arms if a["baseline"] == baseline and name in a["tests"]), None)
            if test:
                removed = test["removed"]
                rows.append(
                    [f"{name}, {baseline.upper()}", f"{test['rows']:,}"]
                    + [f"{removed.get(level, 0):,}" for level in ("exact", "masked", "cosine")]
                    + [f"{test['n_benign']:,}", f"{test['n_malicious']:,}"]
                )
    heads = ["test", "lines", "removed: exact", "masked", "cosine", "benign left", "malicious left"]
    return _html_table(heads, rows)


def _saturation(curves: Mapping[str, Any]) -> str:
    kinds = {
        "first_week": "{:.1f}", "last_week": "{:.1f}", "new_share": "{:.0%}", "below_25": "{:d}", "below_10": "{:d}",
        "K": "{:.3g}", "b": "{:.3f}",
    }  # fmt: skip
    rows = [
        [str(row.pop("scale"))] + ["–" if v is None else kinds.get(k, "{:,d}").format(v) for k, v in row.items()]
        for row in saturation_rows(curves)
    ]
    return _html_table(_CURVES_HEADS, [[cell.replace("%", " %") for cell in row] for row in rows])


def write_report(results: Mapping[str, Any]) -> str:
    """The page as HTML text: no script, no request to anywhere."""
    arms = results["arms"]
    has_incident = any((a["tests"].get("incident") or {}).get("roc") for a in arms)
    parts = [
        f"<h1>{escape(results['study'])}</h1>",
        f"<p class=lead>{escape(headline(results))}</p>",
        _warnings(results.get("warnings", [])),
        "<h2>Arms</h2>",
        _html_table(_HEADS, [[_title(a), *_row_values(a)] for a in arms], _classes(arms)),
        f"<p class=note>{_ARMS_NOTE}</p>",
    ]
    if has_incident:
        plotted = [a for a in arms if (a["tests"].get("incident") or {}).get("roc")]
        parts += [
            arms_plot(plotted, "incident"),
            "<h2>ROC curves, incident test</h2>",
            roc_plot(plotted, "incident"),
        ]
    parts += [
        _groups(arms),
        "<h2>From all lines to labels</h2>",
        funnel_plot([(str(n), int(c)) for n, c in results["funnel"]]),
        "<h2>Anomalies by training day</h2>",
        f"<p>{escape(saturation_text(results['curves']))}</p>",
        curves_plot(results["curves"]),
        _saturation(results["curves"]),
        f"<p class=note>{_CURVES_NOTE}</p>",
        "<h2>Near-duplicates of the training sets, removed from the tests</h2>",
        _removed(arms),
        "<h2>How it was made</h2>",
        _made(results),
    ]
    body = "\n".join(p for p in parts if p)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(results['study'])}: cmdclf study</title>"
        f'<meta name="viewport" content="width=device-width"><style>{_CSS}</style></head><body>{body}</body></html>\n'
    )


def _warnings(texts: Sequence[str]) -> str:
    if not texts:
        return ""
    return "<h2>Warnings</h2><ul>" + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ul>"


def _made(results: Mapping[str, Any]) -> str:
    data = results["data"]
    facts = [
        ["training days", f"{data['train_days'][0]} to {data['train_days'][1]} ({data['train_days'][2]})"],
        ["test days", f"{data['test_days'][0]} to {data['test_days'][1]} ({data['test_days'][2]})"],
        ["process events", f"{data['events']:,}"],
        ["cost of labels", f"{results['labels']['cost_usd']:.2f} USD"],
        ["time of all stages", duration(sum(results["timings"].values()))],
        ["versions", ", ".join(f"{k} {v}" for k, v in sorted(results["versions"].items()))],
    ]
    return _html_table([], facts)
