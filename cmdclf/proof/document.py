"""`RESULTS.md`: a proof's results as a document. Every figure in it comes from `results.json`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from cmdclf.proof import tables as t
from cmdclf.proof.arms import OWN
from cmdclf.proof.claims import claims
from cmdclf.proof.figures import write_figures

__all__ = ["write_document"]

Results = dict[str, Any]


def write_document(results: Results, file: str | Path, *, command: str) -> Path:
    """Write the document, and its pictures into `images/` beside it, named after it; returns its path.

    Args:
        results: what `prove` returned.
        file: the Markdown file.
        command: the command that reproduces it, as the document says it.
    """
    path = Path(file)
    folder = path.parent / "images" / path.stem.lower()
    pictures = {name: f"![{about}](images/{folder.name}/{name})" for name, about in write_figures(results, folder)}
    parts = [_head(results, command), "## What holds, and what does not", _list(claims(results))]
    if results["warnings"]:
        parts += ["## Warnings", _list(results["warnings"])]
    for title, about, picture, table in _sections(results):
        head, rows = table
        if rows:
            parts += [
                f"## {title}",
                about,
                *([pictures[picture]] if picture in pictures else []),
                t.markdown(head, rows),
            ]
    parts += ["## The data", _data(results), "## What these numbers can't say", _LIMITS]
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    os.replace(part, path)
    return path


def _head(results: Results, command: str) -> str:
    s = results["settings"]
    return f"""# Results

Made by one command out of labelled pools ({", ".join(s["pools"])}); nothing here is typed by hand:

    {command}

{s["rotations"]} rotations, each holding out another part of the sources, whole. Of the rest a month of telemetry is
made: {s["train_days"]} training and {s["test_days"]} test days of {s["per_day"]:,} events. AB: lines that a regex
hits and known attacks are malicious, frequent short lines benign; RB: regex hits and frequent lines alone. Each arm
asks a judge about {s["budget"]:,} lines that its baseline does not train on and adds the benign ones; the judge
knows the pools' labels and errs on {s["noise"]:.0%}. The classifier is the shipped one's n-gram part, but where a
section says otherwise. The incident test is what was held out: malicious against hard (flagged by naive rules),
complex (150 characters and more) and simple benign lines, without near-duplicates of anything that any arm could
train on. Figures are means over the rotations. Intervals are 95 %, by a bootstrap of whole scripts and templates
within each rotation; differences are paired: same rotation, same resamples. *Won* counts rotations. Lines were read as
by n-grams of version {results["made_with"]["grams"]} and features of version {results["made_with"]["features"]}."""


def _sections(results: Results) -> list[tuple[str, str, str, tuple[list[str], t.Rows]]]:
    """(title, text, picture, table) of each section."""
    s = results["settings"]
    labels = f"The same {s['budget']:,} labels spent otherwise"
    varied = len(results["variations"][0]["rotations"]) if results["variations"] else 0
    return [
        ("The published table", _published(), "arms.svg", t.published_table(results)),
        (f"{labels}: AB", _CONTROLS, "", t.controls(results, "ab")),
        (f"{labels}: RB", "", "", t.controls(results, "rb")),
        ("What the bundled lexicon adds", _knowing(results), "", t.knowing(results)),
        ("More and fewer labels", _BUDGETS, "budgets.svg", t.budgets(results)),
        ("With the classifier that is shipped", _SHIPPED, "", t.shipped(results)),
        ("Judges that err", _wrong(results), "", t.wrong_judges(results)),
        ("Each detector alone", f"Out of {s['sample']:,} lines of each day; `full` sees all lines.", "",
         t.detectors(results)),
        ("How many days", _DAYS, "curves.svg", t.days(results)),
        ("Another shape of the month", _SHAPE.format(varied=_rotations(varied)), "", t.variations(results)),
    ]  # fmt: skip


def _rotations(number: int) -> str:
    return "the first rotation" if number == 1 else f"the first {number} rotations"


def _published() -> str:
    ab, rb = t.PUBLISHED["ab"], t.PUBLISHED["rb"]
    return f"""As published: incident AUC of AB {ab["base"]} -> {ab["best"]}, of RB {rb["base"]} -> {rb["best"]};
time split 0.998 and more. Absolute figures depend on the sources; the differences are what can be compared. *False
alerts a day*: benign events of the test days, at their real frequencies, that score as high as nine tenths of the
incident lines, of 50 million. *Late TPR*: incident lines found where one benign event of the test days in 1,000
alerts."""


def _wrong(results: Results) -> str:
    counts = [r["train_malicious"] for r in results["rotations"]]
    return f"""The first two and the last rotation. Verdicts flipped at random; and a judge that lets malicious lines
pass where it hurts most. A month has few malicious lines ({min(counts):,} to {max(counts):,} distinct ones), and a way
that looks for the malicious-looking is asked about more of them. `unsure` and missing verdicts add nothing; the first
rotation's lines without one lie in `pending/`, as batch files."""


_CONTROLS = """Each way asks the same judge about as many lines. *Agreed rows*: malicious lines that a language
model's recorded verdict (of the first file) confirms, and benign ones that it calls neither malicious nor unsure.
*Tokens*: a third of the characters. *Called malicious*: of a month's answers, right or wrong."""


def _knowing(results: Results) -> str:
    lines = results["rotations"][0]["lexicon"]
    return f"""The lexicon's {lines["rows"]:,} lines, {lines["malicious"]:,} of them malicious, cost no label: a user
has them with the package. {_KNOWING}"""


_KNOWING = """`lexicon alone` has seen nothing of the month; `+ lexicon` has both and asks nobody. The ways below
them spend the budget, too; where their audit finds that the rules' hits are mostly benign, hits that nobody confirmed
leave, RB's as well, as other attacks are known then. So `+ lexicon` less the baseline is what the lexicon gives, random
labels with the lexicon known less that what the audit and any labels add, and the difference to those what choosing
adds. No line of the test is a near-duplicate of a line of the lexicon that was trained on."""
_BUDGETS = (
    "The first two and the last rotation. In the last column each way may spend what the random lines cost in tokens."
)
_DAYS = "Candidates of the first days alone, the same number of labels; the first two and the last rotation."
_SHAPE = """What the replay assumes most boldly: how many distinct lines the most frequent templates hold, and that
frequent lines are mostly short. Other assumptions; all figures here are means over {varied}."""
_SHIPPED = "Trees on features and embeddings beside the n-grams, weighed by one sigmoid."


def _list(items: list[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def _data(results: Results) -> str:
    head = ["rotation", "held out", "test: malicious, hard, complex, simple", "near-duplicates removed",
            "agreed: malicious, benign", "distinct lines to learn from (malicious)", "anomalies, one of each group",
            "rule hits (share truly malicious)", "AB: lines (malicious)", "RB: lines (malicious)"]  # fmt: skip
    rows = []
    for r in results["rotations"]:
        test, bases = r["test"], r["bases"]
        rows.append([
            str(r["rotation"]), f"{len(r['held_out'])} sources",
            ", ".join(f"{test[k]:,}" for k in ("malicious", "hard", "complex", "simple")),
            f"{sum(r['removed'].values()):,} of {r['test_rows']:,}",
            f"{r['agreed']['malicious']:,}, {r['agreed']['benign']:,}",
            f"{r['train_distinct']:,} ({r['train_malicious']:,})", f"{r['anomalies']:,}, {r['representatives']:,}",
            f"{r['rule_hits']:,} ({t.number(r['rule_precision'])})",
            *(f"{bases[b]['rows']:,} ({bases[b]['malicious']:,})" for b in ("ab", "rb")),
        ])  # fmt: skip
    held = "\n".join(f"- rotation {r['rotation']}: {', '.join(r['held_out'])}" for r in results["rotations"])
    return t.markdown(head, rows) + "\n\nSources held out:\n\n" + held


_LIMITS = f"""- The pools are documents, scripts and emulation plans, not telemetry, and no incident is anybody's
  own. The month's frequencies are assumed. A real estate has more software that starts software, and attacks in
  context.
- Labels are of whoever published a line and of rules by source; *agreed rows* show how far that carries.
- *Hard* lines are chosen by rules, which favours a way that asks about the malicious-looking. Each benign group has
  its own column.
- The rules' precision is what it is on these pools (see the last table). Where an estate's rules are better, RB and
  AB start higher and the audit of `{OWN}` gains less.
- The lexicon was written with knowledge of public attack tools and documents, which pools may come from too.
  Near-duplicates of its lines are not in the test, but on incidents of one's own it may be worth less than here.
- Intervals resample lines of the sources at hand; they don't say what other sources would give. The single rotations
  do, a little.

## Repeat it on your own lake

Half a day of a person, a day of a machine: (1) `cmdclf ingest` 30 to 50 days; (2) collect labelled malicious lines
(past incidents, red-team logs, the bundled lexicon) and leave those of whole incidents out as `incident.parquet`;
(3) `cmdclf run study.toml` with the arms `combined`, `random` and `mined`, judge `openai` and a budget; (4) audit
200 verdicts with `cmdclf label review`; (5) read the report, then `cmdclf promote CANDIDATE --against CURRENT
--test incident.parquet`. With labelled pools of your own, `cmdclf prove --pool FILES` makes this document for them."""
