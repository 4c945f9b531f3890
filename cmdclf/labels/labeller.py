"""Lines in, verdicts in the ledger: redacted, guarded, judged once, kept as they come."""

from __future__ import annotations

import dataclasses
import signal
import threading
from collections import Counter
from collections.abc import Generator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.errors import JudgeError
from cmdclf.labels.asked import AskedLines
from cmdclf.labels.echo import echoed
from cmdclf.labels.guard import guard as guard_lines
from cmdclf.labels.judge import Judge, JudgeRequest, Unanswered
from cmdclf.labels.openai_judge import OpenAIJudge
from cmdclf.labels.requests import requests_for
from cmdclf.labels.second_judge import TwoJudges, agreed
from cmdclf.labels.tables import with_command_id
from cmdclf.labels.verdict import PERSON, Verdict, verdicts_table
from cmdclf.progress import Progress
from cmdclf.store import Store

__all__ = ["LabelReport", "judge_verdicts", "label_lines", "standing_verdicts"]

#: Lines that are redacted, guarded and handed to the judge together.
_CHUNK = 1024

#: An answer that took longer than this is committed at once: losing it to a kill would cost more than the commit.
_WORTH_KEEPING_S = 0.02


@dataclass(frozen=True, slots=True)
class LabelReport:
    """What the ledger knows about the lines of one call.

    The counts hold for all its lines, whether answered now or before, so that a run that was killed and resumed reports
    the same as one that was not.

    Args:
        asked: distinct lines that were given.
        answered: of these, how many have a verdict of this judge now.
        pending: how many have none (asked = answered + pending).
        benign, malicious, unsure: the verdicts after vetoes (answered = benign + malicious + unsure).
        vetoed: benign verdicts that a veto turned into unsure (part of `unsure`).
        cost_usd: what the verdicts on these lines cost, and what this call paid for attempts that gave none.
        new: verdicts that this call added.
        notes: why lines stayed pending in this call, with counts.
        stopped: why the judge gave up before the end, or empty.
    """

    asked: int
    answered: int
    pending: int
    benign: int
    malicious: int
    unsure: int
    vetoed: int
    cost_usd: float
    new: int = 0
    notes: dict[str, int] = field(default_factory=dict)
    stopped: str = ""


def label_lines(
    store: Store,
    judge: Judge,
    lines: pa.Table,
    *,
    progress: bool = False,
    batch: int = 64,
    guard: bool = True,
    again: bool = False,
) -> LabelReport:
    """Put the lines to the judge and its verdicts into the ledger; a line that it has answered is not asked again.

    Every text is redacted before the judge sees it. With `guard` a benign verdict becomes `unsure` where the guard
    speaks against it (see `guard.guard`), where the judge itself suspects an injection, or where its reason only
    repeats what the line says of itself; why stands in `vetoed_by`. `TwoJudges` ask a second judge about what the first
    calls benign: both verdicts are kept under their judges' own names, and a third under the pair's. Verdicts are
    committed in transactions of at most `batch`, slow ones each on its own, so that a killed run goes on where it
    stopped.

    Args:
        store: holds the ledger.
        judge: whom to ask.
        lines: `platform`, `command_line`, optionally `command_id` and `parent_command_line`. A line that occurs
            twice is asked once.
        progress: report on stderr.
        batch: most verdicts in one transaction.
        guard: False trusts the judge's `benign` in any case.
        again: a live judge is also asked about lines that are out in a batch file under its model and prompt.

    Raises:
        JudgeError: the judge can't answer at all. What it answered before is in the ledger.
    """
    if isinstance(judge, TwoJudges):
        return _label_twice(store, judge, lines, progress=progress, batch=batch, guard=guard, again=again)
    lines = _distinct(lines)
    done = judge_verdicts(store, judge, lines["command_id"].combine_chunks())["command_id"].combine_chunks()
    todo = lines.filter(pc.invert(pc.is_in(lines["command_id"], done)))
    out = {} if again or not isinstance(judge, OpenAIJudge) else _out(store, judge)
    waits = pc.is_in(todo["command_id"], value_set=pa.array(list(out), pa.string()))
    todo, waiting = todo.filter(pc.invert(waits)), pc.sum(waits).as_py() or 0
    run = _Run(store, judge, batch)
    with Progress(f"asking {judge.name}", todo.num_rows, unit="lines", enabled=progress) as shown:
        for start in range(0, todo.num_rows, _CHUNK):
            # Closed here and now, not by the collector: the last commit must come before the caller closes the store.
            with closing(run.ask(todo.slice(start, _CHUNK), guard=guard)) as answers:
                for _ in answers:
                    shown.update()
            if run.stopped:
                break
    report = run.report(lines["command_id"].combine_chunks(), todo.num_rows)
    return dataclasses.replace(report, notes={**report.notes, "out in a batch": waiting}) if waiting else report


def _out(store: Store, judge: OpenAIJudge) -> dict[str, str]:
    return AskedLines.of(store).out(model=judge.model, prompt_sha256=judge.prompt_sha256)


def _label_twice(
    store: Store, judges: TwoJudges, lines: pa.Table, *, progress: bool, batch: int, guard: bool, again: bool
) -> LabelReport:
    """Chunk by chunk the first judge's verdicts, the second's where they are asked for, and the pair's from both.

    All three are rows of the ledger, and what is there is not asked for again: a killed run pays for nothing twice.
    """
    lines = _distinct(lines)
    ids = lines["command_id"].combine_chunks()
    unpaid, new, stopped = 0.0, 0, ""
    notes: Counter[str] = Counter()
    for start in range(0, lines.num_rows, _CHUNK):
        chunk = lines.slice(start, _CHUNK)
        own = chunk["command_id"].combine_chunks()
        done = judge_verdicts(store, judges, own)["command_id"].combine_chunks()
        todo = chunk.filter(pc.invert(pc.is_in(chunk["command_id"], done)))
        for judge in (judges.first, judges.second):
            asked = todo
            if judge is judges.second and not judges.always:
                said = judge_verdicts(store, judges.first, todo["command_id"].combine_chunks())
                benign = said.filter(pc.equal(said["verdict"], "benign"))["command_id"].combine_chunks()
                asked = todo.filter(pc.is_in(todo["command_id"], value_set=benign))
            part = label_lines(store, judge, asked, progress=progress, batch=batch, guard=guard, again=again)
            known = judge_verdicts(store, judge, asked["command_id"].combine_chunks())
            unpaid += part.cost_usd - float(pc.sum(known["cost_usd"]).as_py() or 0.0)
            notes.update(part.notes)
            stopped = stopped or part.stopped
        verdicts = [judge_verdicts(store, judge, own).to_pylist() for judge in (judges.first, judges.second)]
        both = agreed(judges, todo["command_id"].to_pylist(), *verdicts)
        if both:
            with _uninterrupted():
                store.append_verdicts(verdicts_table(both))
            new += len(both)
        if stopped:
            break
    report = _report(store, judges, ids)
    paid = sum(float(pc.sum(judge_verdicts(store, judge, ids)["cost_usd"]).as_py() or 0.0) for judge in judges.judges)
    return dataclasses.replace(
        report, cost_usd=paid + unpaid, new=new, notes=dict(notes.most_common()), stopped=stopped
    )


class _Run:
    """One call's state: verdicts not yet committed, and the counts."""

    def __init__(self, store: Store, judge: Judge, batch: int) -> None:
        self.store = store
        self.judge = judge
        self.batch = max(batch, 1)
        self.buffer: list[Verdict] = []
        self.new = 0
        self.unpaid_usd = 0.0  # cost of attempts that gave no verdict
        self.notes: Counter[str] = Counter()
        self.stopped = ""

    def ask(self, lines: pa.Table, *, guard: bool) -> Generator[None, None, None]:
        """Put one chunk to the judge; yields once per answer."""
        vetoes = _vetoes(lines) if guard else {}
        requests = requests_for(lines)
        asked = {request.command_id: request for request in requests}
        answers = self.judge.judge(requests)
        with ExitStack() as stack:
            # Also on Ctrl-C and on a judge's error: what was answered has been paid for.
            stack.callback(self._commit)
            if isinstance(answers, Generator):
                stack.enter_context(closing(answers))
            for answer in answers:
                if isinstance(answer, Unanswered):
                    self.notes[answer.note] += 1
                    self.unpaid_usd += answer.cost_usd
                    if answer.stop:
                        self.stopped = answer.note
                else:
                    request = asked.pop(answer.command_id, None)
                    if request is None:
                        raise JudgeError(
                            f"{self.judge.name} answered twice, or about a line that it was not asked about"
                        )
                    self._keep(_vetoed(answer, request, vetoes, guard=guard))
                yield

    def _keep(self, verdict: Verdict) -> None:
        self.buffer.append(verdict)
        if len(self.buffer) >= self.batch or verdict.latency_s > _WORTH_KEEPING_S:
            self._commit()

    def _commit(self) -> None:
        if not self.buffer:
            return
        with _uninterrupted():
            self.store.append_verdicts(verdicts_table(self.buffer))
            self.new += len(self.buffer)
            self.buffer = []

    def report(self, ids: pa.Array, put: int) -> LabelReport:
        """Counts over all given lines, from the ledger."""
        silent = put - self.new - sum(self.notes.values())
        if silent > 0:
            self.notes["not reached" if self.stopped else "no answer"] += silent
        report = _report(self.store, self.judge, ids)
        return dataclasses.replace(
            report,
            cost_usd=report.cost_usd + self.unpaid_usd,
            new=self.new,
            notes=dict(self.notes.most_common()),
            stopped=self.stopped,
        )


def _report(store: Store, judge: Judge, ids: pa.Array) -> LabelReport:
    """What the ledger holds of this judge on these lines."""
    rows = judge_verdicts(store, judge, ids)
    counts = Counter(rows["verdict"].to_pylist())
    return LabelReport(
        asked=len(ids),
        answered=rows.num_rows,
        pending=len(ids) - rows.num_rows,
        benign=counts["benign"],
        malicious=counts["malicious"],
        unsure=counts["unsure"],
        vetoed=len(rows) - rows["vetoed_by"].null_count,
        cost_usd=float(pc.sum(rows["cost_usd"]).as_py() or 0.0),
    )


@contextmanager
def _uninterrupted() -> Generator[None, None, None]:
    """Ctrl-C waits until the body is done: amid a transaction nobody could say whether its rows are stored."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is None:
        yield
        return
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        signal.raise_signal(signal.SIGINT)


def judge_verdicts(store: Store, judge: Judge, ids: pa.Array | None) -> pa.Table:
    """VERDICTS: this very judge's latest verdict (name, model and prompt) on each line that it has answered."""
    names: tuple[str, ...] = getattr(judge, "answered_as", (judge.name,))
    found = pa.concat_tables(
        store.verdicts(ids, judge=name, model=judge.model, prompt_sha256=judge.prompt_sha256) for name in names
    )
    latest = found.group_by("command_id", use_threads=False).aggregate([("seq", "max")])["seq_max"]
    return found.filter(pc.is_in(found["seq"], latest.combine_chunks())).sort_by("command_id")


def standing_verdicts(store: Store, ids: pa.Array | None = None, judge: Judge | None = None) -> pa.Table:
    """VERDICTS: the one that counts on each line: a person's, else this judge's (None: the latest of any judge).

    A person outranks a judge also where the judge spoke later, for instance because its file was mended.
    """
    people = store.verdicts(ids, judge=PERSON)
    others = store.verdicts(ids) if judge is None else judge_verdicts(store, judge, ids)
    overruled = pc.is_in(others["command_id"], value_set=people["command_id"].combine_chunks())
    return pa.concat_tables([people, others.filter(pc.invert(overruled))]).sort_by("command_id")


def _distinct(lines: pa.Table) -> pa.Table:
    """The lines with command_id, each once, in order of appearance."""
    lines = with_command_id(lines, "command_line")
    numbered = pa.table({"id": lines["command_id"], "row": pa.array(range(lines.num_rows), pa.int64())})
    first = numbered.group_by("id", use_threads=False).aggregate([("row", "min")])["row_min"]
    return lines.take(pc.take(first, pc.sort_indices(first))).combine_chunks()


def _vetoes(lines: pa.Table) -> dict[str, str]:
    """command_id -> why a benign verdict on it doesn't count."""
    checked = guard_lines(lines)
    return {
        command_id: ", ".join(reasons)
        for command_id, reasons, veto in zip(
            lines["command_id"].to_pylist(), checked["reasons"].to_pylist(), checked["veto"].to_pylist(), strict=True
        )
        if veto
    }


def _vetoed(verdict: Verdict, request: JudgeRequest, vetoes: dict[str, str], *, guard: bool) -> Verdict:
    """The verdict as the ledger takes it: with the text's hash, and benign turned into unsure where it is vetoed."""
    why = vetoes.get(verdict.command_id)
    if guard and why is None and verdict.verdict == "benign":
        if verdict.injection_suspected:
            why = "judge:injection suspected"
        elif echoed(verdict.reason, (request.text, request.parent, *request.decoded)):
            why = "judge:its reason repeats what the line says of itself"
    if why is None or verdict.verdict != "benign":
        return dataclasses.replace(verdict, text_sha256=request.text_sha256)
    return dataclasses.replace(verdict, text_sha256=request.text_sha256, verdict="unsure", vetoed_by=why[:500])
