"""The study's pictures as SVG text: ROC curves, the funnel, the cumulative curves, the arms' intervals."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, ParamSpec

__all__ = ["arms_plot", "curves_plot", "funnel_plot", "new_figure", "roc_plot", "styled", "svg_of"]

P = ParamSpec("P")

#: One colour per arm, told apart by people with colour-vision deficiency too (Okabe and Ito, 2008).
COLOURS = {
    "base": "#000000",
    "full": "#0072B2",
    "reduced": "#56B4E9",
    "combined": "#009E73",
    "random": "#999999",
    "mined": "#D55E00",
}
LABELS = {
    "base": "baseline alone",
    "full": "+ full scale",
    "reduced": "+ reduced scale",
    "combined": "+ combined",
    "random": "+ random distinct lines (control)",
    "mined": "+ mined",
}
_STYLE: dict[str, Any] = {
    "svg.hashsalt": "cmdclf",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
}


def svg_of(figure: Any) -> str:
    """The figure as SVG text, the same bytes for the same numbers."""
    text = io.StringIO()
    # No date and fixed ids: the same numbers give the same bytes.
    figure.savefig(text, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :]


def new_figure(width: float, height: float, columns: int = 1, **more: Any) -> tuple[Any, Any]:
    """(a figure of that size in inches, its axes side by side)."""
    # A figure of its own rather than pyplot's: no global state, no display.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    return figure, figure.subplots(1, columns, squeeze=False, **more)[0]


def styled(plot: Callable[P, str]) -> Callable[P, str]:
    """Draw in the house style whatever the user's matplotlib settings are."""

    @functools.wraps(plot)
    def draw(*args: P.args, **kwargs: P.kwargs) -> str:
        import matplotlib

        with matplotlib.rc_context({**dict(matplotlib.rcParamsDefault), **_STYLE, "backend": "svg"}):
            return plot(*args, **kwargs)

    return draw


@styled
def roc_plot(arms: Sequence[Mapping[str, Any]], test: str) -> str:
    """SVG of the ROC curves, one panel per baseline, with a logarithmic FPR axis: where alerts are affordable."""
    baselines = sorted({a["baseline"] for a in arms}, reverse=True)
    figure, axes = new_figure(5.4 * len(baselines), 4.2, len(baselines), sharey=True)
    for axis, baseline in zip(axes, baselines, strict=True):
        lowest = 1.0
        for arm in (a for a in arms if a["baseline"] == baseline and test in a["tests"]):
            result = arm["tests"][test]
            lowest = min(lowest, 1 / max(result["n_benign"], 1))
            axis.plot(
                result["roc"]["fpr"], result["roc"]["tpr"], drawstyle="steps-post", linewidth=1.6,
                color=COLOURS[arm["arm"]], label=f"{LABELS[arm['arm']]}  (AUC {result['auc']:.3f})",
            )  # fmt: skip
        axis.set_xscale("log")
        axis.set_xlim(lowest, 1)
        axis.set_ylim(0, 1)
        axis.set_title({"rb": "Regex baseline (RB)", "ab": "Aggregated baseline (AB)"}[baseline])
        axis.set_xlabel("false-positive rate (log)")
        axis.legend(loc="upper left", fontsize=8)
    axes[0].set_ylabel("true-positive rate")
    return svg_of(figure)


@styled
def arms_plot(arms: Sequence[Mapping[str, Any]], test: str) -> str:
    """SVG of each arm's AUC with its 95 % interval, by baseline."""
    baselines = sorted({a["baseline"] for a in arms}, reverse=True)
    figure, axes = new_figure(5.4 * len(baselines), 2.6, len(baselines), sharex=True)
    for axis, baseline in zip(axes, baselines, strict=True):
        rows = [a for a in arms if a["baseline"] == baseline and test in a["tests"]][::-1]
        for y, arm in enumerate(rows):
            auc, (lo, hi) = arm["tests"][test]["auc"], arm["tests"][test]["auc_ci95"]
            axis.plot([lo, hi], [y, y], color=COLOURS[arm["arm"]], linewidth=2)
            axis.plot([auc], [y], "o", color=COLOURS[arm["arm"]])
        axis.set_yticks(range(len(rows)), [LABELS[a["arm"]] for a in rows])
        axis.set_xlabel("AUC, incident test, 95 % interval")
        axis.set_title(baseline.upper())
    figure.tight_layout()
    return svg_of(figure)


@styled
def funnel_plot(steps: Sequence[tuple[str, int]]) -> str:
    """SVG of the funnel from all events to the benign lines that were added; bars on a logarithmic axis."""
    figure, axes = new_figure(7.5, 0.45 * len(steps) + 0.8)
    axis = axes[0]
    names, counts = [s[0] for s in steps][::-1], [s[1] for s in steps][::-1]
    axis.barh(range(len(steps)), [max(c, 0.8) for c in counts], color="#0072B2", height=0.7)
    axis.set_xscale("log")
    axis.set_xlim(0.8, max([*counts, 1]) * 8)
    axis.set_yticks(range(len(steps)), names)
    for y, count in enumerate(counts):
        axis.text(max(count, 0.8) * 1.15, y, f"{count:,}", va="center", fontsize=9)
    axis.set_xlabel("lines (log)")
    axis.grid(visible=False)
    return svg_of(figure)


#: Curve -> label and colour.
_CURVES = {
    "all": ("all anomalies", "#000000"),
    "distinct": ("distinct", "#0072B2"),
    "near_distinct": ("near-distinct (representatives)", "#D55E00"),
}
_SCALES = {
    "full": "Full scale: every line, isolation forest",
    "reduced": "Reduced scale: a sample, k-means and PCA",
}
#: Panels share a y axis while the highest is at most so many times the lowest: beyond, the low one would be flat.
_COMPARABLE = 4
_WEEK = 7


@styled
def curves_plot(curves: Mapping[str, Any]) -> str:
    """SVG of `results.json`'s curves, a column per scale: the three cumulative ones, and each day's new lines below.

    The dashed line is a tenth of the first week's mean of new near-distinct lines: a curve that comes to lie below it
    for a week is called saturated.
    """
    from matplotlib.figure import Figure

    scales = curves["by_scale"]
    highest = [max(c["all"], default=0) for c in scales.values()]
    alike = max(highest) <= _COMPARABLE * min(highest)
    figure = Figure(figsize=(5.4 * len(scales), 5.8), layout="constrained")
    panels = figure.subplots(
        2, len(scales), squeeze=False, sharex="col", sharey="row" if alike else False, height_ratios=[2, 1]
    )
    for (scale, lists), above, below in zip(scales.items(), *panels, strict=True):
        days = range(1, len(lists["all"]) + 1)
        for name, (label, colour) in _CURVES.items():
            above.plot(days, lists[name], marker="o", markersize=2.5, linewidth=1.6, color=colour, label=label)
        _new_bars(below, lists)
        above.set_title(_SCALES[scale])
        below.set_xlabel("training day")
        # Weeks are what saturation is measured by; few days get a tick each.
        below.set_xticks(days[:: _WEEK if len(days) > 2 * _WEEK else 1])
        for axis in (above, below):
            axis.yaxis.set_major_formatter("{x:,.0f}")
    for row, room in zip(panels, (1.08, 1.35), strict=True):  # the bars' legend lies above them
        tops = [max(axis.dataLim.y1, 1) for axis in row]
        for axis, top in zip(row, tops, strict=True):
            axis.set_ylim(0, room * (max(tops) if alike else top))
    panels[0][0].legend(loc="upper left")
    panels[1][0].legend(loc="upper right", ncol=3, fontsize=8, columnspacing=1.2, handlelength=1.6)
    panels[0][0].set_ylabel("anomalies, cumulative")
    panels[1][0].set_ylabel("new that day")
    return svg_of(figure)


def _new_bars(axis: Any, lists: Mapping[str, Sequence[int]]) -> None:
    """Each day's new distinct lines, pale and wide, and the near-distinct ones among them."""
    for name, width, strength in (("distinct", 0.85, 0.35), ("near_distinct", 0.5, 1)):
        new = [after - before for before, after in pairwise([0, *lists[name]])]
        label = name.replace("_", "-")
        axis.bar(range(1, len(new) + 1), new, width, color=_CURVES[name][1], alpha=strength, label=label)
    if len(new) > _WEEK:
        tenth = 0.1 * sum(new[:_WEEK]) / _WEEK
        axis.axhline(tenth, color="#000000", linewidth=1, linestyle="--", label="a tenth of the first week")
