"""What weakens a proof without stopping it, as sentences that name the setting and the remedy."""

from __future__ import annotations

from collections.abc import Sequence

from cmdclf.proof.summary import Part
from cmdclf.study.cautions import few_candidates, near_duplicates_of, unanswered

__all__ = ["warnings_of"]


def warnings_of(parts: Sequence[Part]) -> list[str]:
    """Tests that are mostly near-duplicates, budgets beyond the candidates, verdicts that are mostly missing."""
    out: list[str] = []
    asked: dict[str, tuple[int, int]] = {}
    answered = {"asked": 0, "pending": 0}
    for part in parts:
        where = f"rotation {part.rotation}, share_top {part.shape.share_top:g}"
        where += "" if part.shape.short_head else ", frequent lines of any length"
        out += near_duplicates_of("each pool", where, part.about["test_rows"], part.about["removed"])
        for name, figures in part.figures.items():
            words = name.split(" | ")
            budget = int(words[3 if words[0] == "shipped" else 2])
            if budget and words[-1] != "tokens":
                before = asked.get(name, (budget, budget))[0]
                asked[name] = (min(before, figures["asked"]), budget)
            if "recorded" in words:
                answered["asked"] += figures["asked"]
                answered["pending"] += figures["verdicts"].get("pending", 0)
    out += few_candidates("budget", {f"`{name.replace(' | ', ', ')}`": counts for name, counts in asked.items()})
    return out + unanswered(
        "the recorded verdicts (--verdicts)", answered["asked"], answered["pending"],
        "The first rotation's lines without one lie in pending/, as batch files: have them answered and add the "
        "verdicts to the file",
    )  # fmt: skip
