"""The pictures of a proof."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cmdclf.proof.arms import OWN
from cmdclf.proof.tables import arm_of, mean_over
from cmdclf.study.plots import curves_plot, new_figure, styled, svg_of

__all__ = ["write_figures"]

Results = dict[str, Any]
_SHOWN = ("base", "reduced", "combined", "full", "coverage", "random", "random, deduplicated", "uncertain", "longest",
          "mined, anomalies", "mined in rounds", "random, audited", "mined, audited",
          "lexicon", "lexicon alone", "random, audited, lexicon", OWN, "all benign")  # fmt: skip
_MINED, _CONTROL = "mined, audited", "random, audited, lexicon"
#: Of the lines that are not drawn as matplotlib would.
_STYLES: dict[str, dict[str, Any]] = {
    OWN: {"color": "C3", "lw": 2.5}, _CONTROL: {"color": "C3", "ls": "--"}, _MINED: {"color": "C4", "lw": 2.5},
    "random": {"color": "0.5"},
}  # fmt: skip


def write_figures(results: Results, folder: Path) -> list[tuple[str, str]]:
    """Write SVG files into the folder; returns (file name, what it shows)."""
    folder.mkdir(parents=True, exist_ok=True)
    made = [
        ("arms.svg", "AUC and TPR of AB by what it asks about, mean over rotations with 95 % interval", _arms(results)),
        ("budgets.svg", "AUC and TPR of AB by the number of lines that a judge was asked about", _budgets(results)),
    ]
    if results["curves"]:
        made.append(
            ("curves.svg", "Anomalies by training day at both scales, as the published Figures 1 and 2 (rotation 0)",
             curves_plot(results["curves"]))
        )  # fmt: skip
    for name, _, svg in made:
        (folder / name).write_text(svg, encoding="utf-8")
    return [(name, about) for name, about, _ in made]


@styled
def _arms(results: Results) -> str:
    shown = [(way, a) for way in _SHOWN if (a := arm_of(results, "ab", way)) is not None]
    shown.sort(key=lambda item: item[1]["auc"]["mean"])
    figure, axes = new_figure(9.5, 0.32 * len(shown) + 1.2, 2)
    for at, (measure, title) in zip(axes, (("auc", "AUC"), ("tpr", "TPR at FPR 1e-2")), strict=True):
        for place, (way, a) in enumerate(shown):
            low, high = a[measure]["ci95"]
            colour = "C3" if way == OWN else "C0" if way in ("full", "reduced", "combined") else "0.35"
            at.plot([low, high], [place, place], color=colour, lw=2)
            at.plot([a[measure]["mean"]], [place], "o", color=colour, ms=6)
            at.plot(a[measure]["rotations"], [place] * len(a[measure]["rotations"]), "|", color="0.6", ms=7)
        at.set_yticks(range(len(shown)), [way for way, _ in shown] if measure == "auc" else [])
        at.set_xlabel(f"{title} (bar: 95 %, ticks: rotations)")
        at.grid(axis="x", alpha=0.3)
    return svg_of(figure)


@styled
def _budgets(results: Results) -> str:
    s = results["settings"]
    sizes = sorted({*s["budgets"], s["budget"]})
    figure, axes = new_figure(9.5, 3.4, 2)
    for at, (measure, title) in zip(axes, (("auc", "AUC"), ("tpr", "TPR at FPR 1e-2")), strict=True):
        for way in ("full", "combined", "uncertain", "random", _MINED, _CONTROL, OWN):
            found = [(n, a) for n in sizes if (a := arm_of(results, "ab", way, n)) is not None]
            values = [mean_over(a, measure, s["detailed"]) for _, a in found]
            at.plot([n for n, _ in found], values, marker="o", label=way, ms=4, **_STYLES.get(way, {}))
        _base_line(at, results, measure)
        at.set_xscale("log")
        at.set_xticks(sizes, [f"{n:,}" for n in sizes])
        at.minorticks_off()
        at.set_xlabel("lines asked about")
        at.set_ylabel(title)
        at.grid(alpha=0.3)
    figure.legend(
        *axes[0].get_legend_handles_labels(), loc="upper center", bbox_to_anchor=(0.5, -0.02), ncols=4, fontsize=8
    )
    return svg_of(figure)


def _base_line(at: Any, results: Results, measure: str) -> None:
    base = arm_of(results, "ab", "base")
    if base is not None:
        at.axhline(mean_over(base, measure, results["settings"]["detailed"]), color="0.5", ls=":", lw=1)
