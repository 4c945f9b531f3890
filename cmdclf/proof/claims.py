"""What the results say of each claim, in sentences made from them: nobody writes down a finding by hand."""

from __future__ import annotations

from typing import Any

from cmdclf.proof.arms import OWN
from cmdclf.proof.tables import arm_of

__all__ = ["claims", "won"]

Results = dict[str, Any]
OURS = ("mined, audited", OWN)
_MEASURES = (("auc", "AUC"), ("tpr", "TPR at FPR 1e-2"))


def won(mine: dict[str, Any], other: dict[str, Any], measure: str) -> bool:
    """Whether one arm's 95 % interval lies wholly above the other's."""
    return bool(mine[measure]["ci95"][0] > other[measure]["ci95"][1])


def claims(results: Results) -> list[str]:
    """One sentence or two for each claim of the published work and of our own."""
    both = ("ab", "rb")
    out = [_rise(results, b) for b in both] + [_against_random(results, b) for b in both]
    out += [_scales(results), _time_split(results), *(_own(results, b, way) for b in both for way in OURS)]
    out += [*(_mining(results, b) for b in both), _prices(results)]
    return [text for text in out if text]


def _rise(results: Results, baseline: str) -> str:
    base, combined = (arm_of(results, baseline, way) for way in ("base", "combined"))
    if base is None or combined is None:
        return ""
    gain = combined["to_base"]["auc"]
    state = "holds" if gain["ci95"][0] > 0 else "does not hold" if gain["ci95"][1] < 0 else "is not decided"
    return (
        f"**Benign anomalies raise {baseline.upper()}'s incident AUC: {state}.** {base['auc']['mean']:.3f} becomes "
        f"{combined['auc']['mean']:.3f} with both scales, {_signed(gain)}."
    )


def _against_random(results: Results, baseline: str) -> str:
    arms = {way: arm_of(results, baseline, way) for way in ("full", "reduced", "combined")}
    known = {way: a for way, a in arms.items() if a is not None and "to_random" in a}
    if not known:
        return ""
    better = [way for way, a in known.items() if a["to_random"]["auc"]["ci95"][0] > 0]
    worse = [way for way, a in known.items() if a["to_random"]["auc"]["ci95"][1] < 0]
    parts = [f"`{way}` {_signed(a['to_random']['auc'])}" for way, a in known.items()]
    state = "holds for " + ", ".join(f"`{w}`" for w in better) if better else "does not hold"
    if worse:
        state += "; " + ", ".join(f"`{w}`" for w in worse) + (" is" if len(worse) == 1 else " are") + " worse"
    return (
        f"**Anomalies are worth more to {baseline.upper()} than as many random distinct lines: {state}.** Paired "
        f"difference of AUC: {'; '.join(parts)}."
    )


def _scales(results: Results) -> str:
    full, reduced, combined = (arm_of(results, "ab", way) for way in ("full", "reduced", "combined"))
    if full is None or reduced is None or combined is None:
        return ""
    values = {"full": full, "reduced": reduced, "combined": combined}
    order = sorted(values, key=lambda way: -values[way]["auc"]["mean"])
    state = "holds" if order[0] == "combined" else "does not hold"
    return (
        f"**Both scales together are best: {state}.** For AB in falling order: "
        + ", ".join(f"`{way}` {values[way]['auc']['mean']:.3f}" for way in order) + "."
    )  # fmt: skip


def _time_split(results: Results) -> str:
    values = [a["time_split_auc"] for name, a in results["arms"].items()
              if name.split(" | ")[1] in ("base", "full", "reduced", "combined") and a["time_split_auc"] is not None
              and name.endswith(f"noise {results['settings']['noise']:g}")]  # fmt: skip
    if not values:
        return ""
    state = "holds" if min(values) >= 0.998 else "does not hold"
    return (
        f"**The time split stays at 0.998 and more: {state}.** Over baselines and published arms it lies between "
        f"{min(values):.3f} and {max(values):.3f}. It measures agreement with the baseline's own labels."
        + _leaving(results)
    )


def _leaving(results: Results) -> str:
    """What the time split says of an arm that no longer believes the rules."""
    own = {b: arm_of(results, b, OWN) for b in ("ab", "rb")}
    known = [
        f"{a['time_split_auc']:.3f} on {b.upper()}" for b, a in own.items() if a and a["time_split_auc"] is not None
    ]
    if not known:
        return ""
    why = "where it drops the rules' hits, it no longer agrees with labels made of them"
    return f" `{OWN}` has {', '.join(known)}: {why}."


def _own(results: Results, baseline: str, way: str) -> str:
    own = arm_of(results, baseline, way)
    others = {way: arm_of(results, baseline, way) for way in ("random", "full", "reduced", "combined")}
    known = {way: a for way, a in others.items() if a is not None}
    if own is None or not known:
        return ""
    texts = []
    for measure, what in _MEASURES:
        beaten = [other for other, a in known.items() if won(own, a, measure)]
        best = max(known, key=lambda other: known[other][measure]["mean"])
        verdict = "disjoint from all of them" if len(beaten) == len(known) else (
            "disjoint from " + (", ".join(f"`{w}`" for w in beaten) or "none of them"))  # fmt: skip
        texts.append(
            f"{what} {own[measure]['mean']:.3f} against {known[best][measure]['mean']:.3f} of the best of them "
            f"(`{best}`), 95 % interval {verdict}"
        )
    beside = ", which do not train on the lexicon," if way == OWN else ""
    about = f"Ours (`{way}`) against random and the published arms{beside} on {baseline.upper()}"
    return f"**{about}:** " + "; ".join(texts) + "."


def _mining(results: Results, baseline: str) -> str:
    own, lexicon = (arm_of(results, baseline, way) for way in (OWN, "lexicon"))
    if own is None or "to_knowing_random" not in own:
        return ""
    gains = {what: own["to_knowing_random"][measure] for measure, what in _MEASURES}
    held = [what for what, gain in gains.items() if gain["ci95"][0] > 0]
    state = "holds for " + " and ".join(held) if held else "does not hold"
    before = ""
    if lexicon is not None:
        before = f" Before any label the lexicon makes {lexicon['auc']['mean']:.3f} and {lexicon['tpr']['mean']:.3f}."
    return (
        f"**Where {baseline.upper()} knows the lexicon, asking about the highest scores is worth more than as many "
        f"random lines: {state}.** Paired difference: "
        + ", ".join(f"{what} {_signed(gain)}" for what, gain in gains.items())
        + f".{before}"
    )


def _prices(results: Results) -> str:
    base, own, all_ = (arm_of(results, "ab", way) for way in ("base", "mined, audited", "all benign"))
    if base is None or own is None or all_ is None:
        return ""
    return (
        f"**False alerts a day at 50 million events, where nine tenths of the incident lines alert:** AB "
        f"{base['alerts_a_day']:,.0f}, with `mined, audited` {own['alerts_a_day']:,.0f}. Labelling every benign line "
        f"({all_['asked']:,.0f}) gives {all_['alerts_a_day']:,.0f} and AUC {all_['auc']['mean']:.3f}; "
        f"{own['asked']:,.0f} lines so chosen {own['auc']['mean']:.3f}{_priced(results)}."
    )


def _priced(results: Results) -> str:
    own = arm_of(results, "ab", OWN)
    if own is None:
        return ""
    return f"; with the lexicon known as well {own['alerts_a_day']:,.0f} and {own['auc']['mean']:.3f}"


def _signed(figure: dict[str, Any]) -> str:
    low, high = figure["ci95"]
    return f"{figure['mean']:+.3f} ({low:+.3f} to {high:+.3f})"
