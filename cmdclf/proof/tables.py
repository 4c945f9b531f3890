"""The tables of a proof, row by row, out of its results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from cmdclf.proof.arms import ARMS, DETECTORS, KNOWING, MAIN, MINING, OWN

__all__ = [
    "PUBLISHED", "arm_of", "budgets", "controls", "days", "detectors", "knowing", "markdown",
    "mean_over", "number", "published_table", "shipped", "spread", "variations", "wrong_judges",
]  # fmt: skip

#: AUC on the incident test as published: Sophos, "Anomaly detection betrayed us, so we gave it a new job" (2025).
PUBLISHED = {"ab": {"base": 0.6138, "best": 0.8935}, "rb": {"base": 0.7072, "best": 0.7689}}
Results = dict[str, Any]
Rows = list[list[str]]


def number(value: float | None, digits: int = 3) -> str:
    """A figure, or a dash where there is none."""
    return "–" if value is None else f"{value:,.{digits}f}"


def spread(figure: dict[str, Any], digits: int = 3) -> str:
    """A mean with its 95 % interval."""
    low, high = figure["ci95"]
    return f"{number(figure['mean'], digits)} ({number(low, digits)} to {number(high, digits)})"


def _gain(figure: dict[str, Any] | None, measure: str) -> str:
    if figure is None:
        return "–"
    low, high = figure[measure]["ci95"]
    return f"{figure[measure]['mean']:+.3f} ({low:+.3f} to {high:+.3f}), {figure[measure]['wins']}"


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])


def arm_of(
    results: Results, baseline: str, way: str, budget: int | None = None, judge: str = "", more: str = ""
) -> dict[str, Any] | None:
    """An arm's figures; the main budget and the usual judge where none is given; None where it was not run."""
    s = results["settings"]
    budget = 0 if ARMS[way] is None else s["budget"] if budget is None else budget
    name = " | ".join([baseline, way, str(budget), judge or f"noise {s['noise']:g}", *([more] if more else [])])
    found: dict[str, Any] | None = results["arms"].get(name)
    return found


def published_table(results: Results) -> tuple[list[str], Rows]:
    """Baselines and the published arms, as their Table 1 has them, with what it lacks."""
    head = ["arm", "incident AUC", "TPR at FPR 1e-2", "time split AUC (lowest)", "false alerts a day at TPR 0.9",
            "TPR where 1 event in 1,000 alerts"]  # fmt: skip
    rows = []
    for baseline in ("ab", "rb"):
        for way in (*MAIN, "mined, audited", OWN):
            a = arm_of(results, baseline, way)
            if a is not None:
                name = baseline.upper() if way == "base" else f"{baseline.upper()} + {way}"
                rows.append([name, spread(a["auc"]), spread(a["tpr"]),
                             f"{number(a['time_split_auc'])} ({number(a['time_split_lowest'])})",
                             number(a["alerts_a_day"], 0), number(a["late_tpr"])])  # fmt: skip
    return head, rows


def controls(results: Results, baseline: str) -> tuple[list[str], Rows]:
    """Every way to spend the main budget, best first."""
    head = ["asks about", "AUC", "to random (95 %), rotations won", "TPR at 1e-2", "to random, won",
            "AUC hard, complex, simple", "agreed rows: AUC, TPR", "late TPR", "tokens", "called malicious"]  # fmt: skip
    apart = {*DETECTORS, "lexicon alone", "lexicon", *(f"{way}, lexicon" for way in KNOWING)}
    found = [(way, a) for way in ARMS if way not in apart and (a := arm_of(results, baseline, way)) is not None]
    found.sort(key=lambda item: -item[1]["auc"]["mean"])
    rows = []
    for way, a in found:
        kinds = " ".join(number(a["kinds"][k]) for k in ("hard", "complex", "simple"))
        about = ARMS[way]
        gain = a.get("to_random")
        rows.append([f"**{way}**" + (f": {about.about}" if about else ""), spread(a["auc"]), _gain(gain, "auc"),
                     spread(a["tpr"]), _gain(gain, "tpr"), kinds,
                     f"{number(a['agreed_auc']['mean'])} {number(a['agreed_tpr']['mean'])}", number(a["late_tpr"]),
                     number(a["tokens"], 0), _called_malicious(a)])  # fmt: skip
    return head, rows


def knowing(results: Results) -> tuple[list[str], Rows]:
    """What the bundled lexicon gives without any label, and what labels add to it, by what they are spent on."""
    head = ["arm", "AUC", "to random labels, lexicon known, rotations won", "TPR at 1e-2", "to random, won",
            "agreed rows: AUC, TPR", "false alerts a day at TPR 0.9", "late TPR", "called malicious"]  # fmt: skip
    rows: Rows = []
    if arm_of(results, "ab", "lexicon") is None:
        return head, rows
    for baseline in ("ab", "rb"):
        for way in ("base", "lexicon alone", "lexicon", *(f"{way}, lexicon" for way in KNOWING)):
            a = arm_of(results, baseline, way)
            if a is None:
                continue
            name = way if way == "lexicon alone" else baseline.upper() + ("" if way == "base" else f" + {way}")
            gain = a.get("to_knowing_random")
            rows.append([name, spread(a["auc"]), _gain(gain, "auc"), spread(a["tpr"]), _gain(gain, "tpr"),
                         f"{number(a['agreed_auc']['mean'])} {number(a['agreed_tpr']['mean'])}",
                         number(a["alerts_a_day"], 0), number(a["late_tpr"]), _called_malicious(a)])  # fmt: skip
    return head, rows


def budgets(results: Results) -> tuple[list[str], Rows]:
    """AUC and TPR by budget, in lines and in tokens."""
    s = results["settings"]
    sizes = sorted({*s["budgets"], s["budget"]})
    ways = ("full", "combined", "uncertain", "random", "mined, audited", "random, audited, lexicon", OWN)
    head = [
        "AB +",
        *(f"{n:,} lines: AUC, TPR" for n in sizes),
        f"tokens of {s['budget']:,} random lines: AUC, TPR, lines",
    ]
    rows = []
    for way in (*ways, "longest"):
        cells = [_pair(results, arm_of(results, "ab", way, n)) for n in sizes]
        of_tokens = arm_of(results, "ab", way, more="tokens") if way != "random" else arm_of(results, "ab", way)
        cells.append(f"{_pair(results, of_tokens)}, {number(of_tokens['asked'], 0)}" if of_tokens else "–")
        if any(cell != "–" for cell in cells):
            rows.append([way, *cells])
    return head, rows


def wrong_judges(results: Results) -> tuple[list[str], Rows]:
    """What a judge's errors cost, by kind and share."""
    s = results["settings"]
    asked = ("random", "combined", "mined, audited", OWN)
    ways = [way for way in asked if arm_of(results, "ab", way) is not None]
    head = ["judge", *(f"AB + {way}: AUC, TPR" for way in ways)]
    shares = sorted({s["noise"], *s["noises"]})
    rows = [
        [
            f"{share:.0%} of all verdicts flipped",
            *(_pair(results, arm_of(results, "ab", way, judge=f"noise {share:g}")) for way in ways),
        ]
        for share in shares
    ]
    for share in (x for x in shares if x > 0):
        cells = []
        for way in ways:
            a = arm_of(results, "ab", way, judge=f"hostile {share:g}")
            cells.append(f"{_pair(results, a)} ({number(a['wrong'], 0)} lines)" if a else "–")
        rows.append(
            [f"malicious lines pass as benign, up to {share:.0%} of those asked, the most suspicious first", *cells]
        )
    for judge, about in (("recorded", "recorded verdicts of a language model"),
                         ("truth where recorded", "the truth on lines that have such a verdict")):  # fmt: skip
        cells = []
        for way in ways:
            a = arm_of(results, "ab", way, judge=judge)
            answered = _asked(a) - a["verdicts"].get("pending", 0) if a else 0
            passed = f"; malicious passed: {a['wrong'] * len(a['of_rotations']):,.0f}" if a else ""
            cells.append(f"{_pair(results, a)} ({answered:,} of {_asked(a):,} answered{passed})" if a else "–")
        if any(c != "–" for c in cells):
            rows.append([about, *cells])
    return head, rows


def detectors(results: Results) -> tuple[list[str], Rows]:
    """Each detector alone and on the other feature set."""
    head = ["AB +", "AUC", "to random, rotations won", "TPR at 1e-2", "AUC hard, complex, simple"]
    rows = []
    for way in ("full", "reduced", *DETECTORS, "random"):
        a = arm_of(results, "ab", way)
        if a is not None:
            about = ARMS[way]
            kinds = " ".join(number(a["kinds"][k]) for k in ("hard", "complex", "simple"))
            gain = _gain(a.get("to_random"), "auc")
            rows.append([about.about if about else way, spread(a["auc"]), gain, spread(a["tpr"]), kinds])
    return head, rows


def shipped(results: Results) -> tuple[list[str], Rows]:
    """The main arms with the classifier that is shipped, beside the n-grams alone."""
    head = ["arm", "AUC", "n-grams alone", "to random, rotations won", "TPR at 1e-2", "to random, won",
            "to random labels, lexicon known: AUC", "TPR", "false alerts a day at TPR 0.9", "late TPR"]  # fmt: skip
    rows = []
    ways = list(ARMS)
    found = [(name.split(" | ")[1:], a) for name, a in results["arms"].items() if name.startswith("shipped | ")]
    for parts, a in sorted(found, key=lambda item: (item[0][0], ways.index(item[0][1]))):
        plain = results["arms"].get(" | ".join(parts))
        baseline, way = parts[:2]
        gain, known = a.get("to_random"), a.get("to_knowing_random")
        rows.append([baseline.upper() if way == "base" else f"{baseline.upper()} + {way}", spread(a["auc"]),
                     number(plain["auc"]["mean"]) if plain else "–", _gain(gain, "auc"), spread(a["tpr"]),
                     _gain(gain, "tpr"), _gain(known, "auc"), _gain(known, "tpr"),
                     number(a["alerts_a_day"], 0), number(a["late_tpr"])])  # fmt: skip
    return head, rows


def days(results: Results) -> tuple[list[str], Rows]:
    """The arm `combined` with candidates of the first days alone."""
    head = ["training days", "AUC", "TPR at 1e-2"]
    rows = [
        [name.split(" | ")[-1].removesuffix(" days"), *_pair(results, a).split(" ")]
        for name, a in results["arms"].items()
        if name.startswith("ab | combined |") and name.endswith(" days")
    ]
    rows.sort(key=lambda row: int(row[0]))
    whole = arm_of(results, "ab", "combined")
    if whole is not None:
        rows.append([str(results["settings"]["train_days"]), *_pair(results, whole).split(" ")])
    return head, rows


def variations(results: Results) -> tuple[list[str], Rows]:
    """Other shapes of the month, over the rotations that they were run on."""
    ways = (*MAIN, *MINING)
    head = [
        "share of the distinct lines in the top 100 templates",
        *(f"AB + {w}: AUC, TPR" if w != "base" else "AB" for w in ways),
    ]
    rows = []
    for varied in results["variations"]:
        part = {"settings": results["settings"], "arms": varied["arms"]}
        shown = [rotation["rotation"] for rotation in varied["rotations"]]
        rows.append(
            [
                _shape(varied["share_top"], varied["short_head"]),
                *(_over(arm_of(part, "ab", way), shown) for way in ways),
            ]
        )
    if results["variations"]:
        shown = [rotation["rotation"] for rotation in results["variations"][0]["rotations"]]
        usual = [arm_of(results, "ab", way) for way in ways]
        rows.append([_shape(results["settings"]["share_top"], True), *(_over(a, shown) for a in usual)])
    return head, sorted(rows)


def _shape(share: float, short_head: bool) -> str:
    return f"{share:.2f}" + ("" if short_head else ", frequent lines of any length")


def _called_malicious(arm: dict[str, Any]) -> str:
    """The mean over the rotations."""
    return number(arm["verdicts"].get("malicious", 0) / len(arm["of_rotations"]), 0)


def _asked(arm: dict[str, Any]) -> int:
    """Lines that an arm asked about, over all rotations."""
    return int(sum(arm["verdicts"].values()))


def _pair(results: Results, arm: dict[str, Any] | None) -> str:
    """AUC and TPR over the rotations that budgets, judges and days are varied on, so that cells can be compared."""
    return _over(arm, results["settings"]["detailed"])


def _over(arm: dict[str, Any] | None, rotations: Sequence[int]) -> str:
    if arm is None:
        return "–"
    return " ".join(number(mean_over(arm, measure, rotations)) for measure in ("auc", "tpr"))


def mean_over(arm: dict[str, Any], measure: str, rotations: Sequence[int]) -> float:
    """The mean of a figure over some of an arm's rotations."""
    values = [arm[measure]["rotations"][arm["of_rotations"].index(rotation)] for rotation in rotations]
    return float(sum(values) / len(values))
