import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="cmdclf: review")

with app.setup:
    import html

    import marimo as mo
    import pyarrow as pa
    from shared import code, lines_table, open_store, problem, queue_rows

    from cmdclf.errors import CmdclfError
    from cmdclf.labels import guard
    from cmdclf.labels.neighbours import LabelledNeighbours
    from cmdclf.labels.odd import odd_characters
    from cmdclf.labels.person import reviewer_name
    from cmdclf.labels.review import review_queue
    from cmdclf.labels.session import ReviewSession
    from cmdclf.lines import decode_layers
    from cmdclf.store import Store
    from cmdclf.study.views import fired_checks


@app.cell(hide_code=True)
def _():
    mo.md("""
    # Review

    One command line at a time, the most valuable look first. Each verdict goes into the ledger under your name,
    supersedes what was said before and erases nothing.
    """)
    return


@app.cell
def _():
    store_file, embedder = open_store()
    with Store.open(store_file, read_only=True) as _store:
        queue = review_queue(_store)
        neighbours = LabelledNeighbours(_store, embedder)
    return neighbours, queue, store_file


@app.cell
def _():
    name_form = mo.ui.text(
        label="Your name", value=str(mo.cli_args().get("reviewer") or ""), max_length=80, full_width=True
    ).form(submit_button_label="Begin", bordered=False)
    return (name_form,)


@app.cell
def _(name_form):
    name_form
    return


@app.cell
def _():
    # What was done last; every cell that shows the line at hand runs again when it changes.
    moved, set_moved = mo.state("")
    return moved, set_moved


@app.cell
def _(name_form, queue, store_file):
    session, _fault = None, None
    if name_form.value is not None:
        try:
            session = ReviewSession(store_file, queue, reviewer_name(name_form.value))
        except CmdclfError as _error:
            _fault = problem("Verdicts need a name", _error)
    _fault
    return (session,)


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## The line at hand

    **You should see** one line, exactly as it was run: characters that are invisible or turn the text around are
    written out. Below it what it decodes to, and what started it. Keys: **b** benign, **m** malicious, **u** unsure,
    **s** skip, **z** take the last verdict back; they don't act while you type a reason.
    """)
    return


@app.cell
def _(moved, queue, session):
    moved()
    _of = queue.num_rows
    _done = _of - session.left if session else 0
    mo.Html(
        f"<div>{_done} of {_of} lines judged in this session{f' by {html.escape(session.reviewer)}' if session else ''}"
        f"<progress style='width:100%' max='{max(_of, 1)}' value='{_done}'></progress></div>"
    )
    return


@app.cell
def _(moved, queue, session):
    moved()
    # Before a name is given the first line shows what will come.
    at_hand = session.current if session else (queue.slice(0, 1).to_pylist() or [None])[0]
    blind = session.blind if session else at_hand is not None and "audit" in at_hand["reasons"]
    mo.stop(
        at_hand is None,
        mo.callout("No line waits here. Reload the page for those that came or were skipped.", kind="success"),
    )
    _layers = decode_layers(at_hand["command_line"], at_hand["platform"])
    _odd = odd_characters(at_hand["command_line"])
    mo.vstack(
        [
            mo.hstack(
                [
                    mo.stat(at_hand["platform"], label="platform", bordered=True),
                    mo.stat(f"{at_hand['depends']:,}", label="lines depend on it", bordered=True),
                    mo.stat(f"{at_hand['value']:.2f}", label=", ".join(at_hand["reasons"]), bordered=True),
                ],
                widths="equal",
            ),
            code(at_hand["command_line"]),
            *([mo.callout(mo.plain_text("\n".join(_odd)), kind="warn")] if _odd else []),
            *(mo.vstack([mo.md(f"decoded, `{layer.kind}`"), code(layer.text)], gap=0) for layer in _layers),
            *([mo.md("parent"), code(at_hand["parent_command_line"])] if at_hand["parent_command_line"] else []),
        ]
    )
    return at_hand, blind


@app.cell
def _(at_hand):
    # New fields for each line: nothing typed for one line may be recorded for another.
    _ = at_hand["command_id"]
    reason_text = mo.ui.text(label="Reason", placeholder="optional", max_length=2000, full_width=True)
    technique_text = mo.ui.text(label="Technique", placeholder="T1059.001", max_length=40)
    return reason_text, technique_text


@app.cell
def _(at_hand, reason_text, session, set_moved, technique_text):
    def _do(what):
        def act(_count):
            try:
                if what == "skip":
                    session.skip()
                    said = f"skipped {at_hand['command_id']}"
                elif what == "undo":
                    said = "took the last verdict back" if session.undo() else "there is nothing to take back"
                else:
                    row = session.give(
                        what,
                        command_id=at_hand["command_id"],
                        reason=reason_text.value,
                        technique=technique_text.value,
                    )
                    said = f"{row['verdict']}, row {row['seq']}, {row['command_id']}"
            except CmdclfError as error:
                said = f"not recorded: {error}"
            set_moved(f"{session.at}.{len(session.given)} {said}")

        return act

    # marimo numbers a cell's elements, and a key that is pressed twice in haste would meet the next line's button under
    # the same number. Throw-away elements shift the numbers from line to line, so that the second press is lost.
    _shift = [mo.ui.button() for _ in range(session.at % 3 if session else 0)]
    _keys = [
        ("benign", "b", "success"), ("malicious", "m", "danger"), ("unsure", "u", "warn"),
        ("skip", "s", "neutral"), ("undo", "z", "neutral"),
    ]  # fmt: skip
    buttons = mo.ui.array(
        [
            mo.ui.button(
                value=0, on_click=lambda count: count + 1, on_change=_do(name), label=f"{name} ({key})", kind=kind,
                keyboard_shortcut=key, disabled=session is None,
            )
            for name, key, kind in _keys
        ]
    )  # fmt: skip
    mo.vstack(
        [
            mo.hstack(list(buttons), justify="start"),
            mo.hstack([technique_text, reason_text], widths=[1, 3]),
            mo.md("") if session else mo.callout("Give your name above first.", kind="warn"),
        ]
    )
    return (buttons,)


@app.cell
def _(moved):
    mo.plain_text(moved().partition(" ")[2] or "Nothing recorded yet.")
    return


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## What speaks for and against it

    **You should see** the behavioural checks that the line trips, what the guard says about it, and labelled lines that
    are most like it, with their verdicts.
    """)
    return


@app.cell
def _(at_hand):
    checks = fired_checks(at_hand["command_line"], at_hand["platform"])
    warnings = guard(pa.Table.from_pylist([at_hand]))["reasons"][0].as_py()
    mo.vstack(
        [
            mo.callout(mo.plain_text("\n".join(warnings)), kind="warn")
            if warnings
            else mo.md("The guard has nothing against this line."),
            lines_table(checks.select(["check", "title", "level", "technique", "seen_in"]), page_size=6)
            if checks.num_rows
            else mo.md("No behavioural check fires."),
        ]
    )
    return checks, warnings


@app.cell
def _(at_hand, neighbours):
    near = neighbours.nearest(at_hand["command_line"], at_hand["platform"], at_hand["command_id"])
    lines_table(near, page_size=5) if near.num_rows else mo.md("No labelled line of this platform to compare with.")
    return (near,)


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## What was said before

    **You should see** every earlier verdict on the line, the latest last. Of a line that is audited they are hidden: an
    audit asks what you say, not whether you agree.
    """)
    return


@app.cell
def _(blind):
    reveal = mo.ui.checkbox(label="Show earlier verdicts of audited lines too", value=False)
    _ = blind
    reveal
    return (reveal,)


@app.cell
def _(at_hand, blind, reveal, store_file):
    with Store.open(store_file, read_only=True) as _store:
        history = _store.verdict_history(at_hand["command_id"])
    _columns = ["seq", "judged_at", "judge", "model", "reviewer", "verdict", "confidence", "vetoed_by", "reason", "note"]
    (
        mo.md("*Hidden: this line is audited.*")
        if blind and not reveal.value
        else lines_table(history.select(_columns), page_size=5)
        if history.num_rows
        else mo.md("Nobody has judged it yet.")
    )
    return (history,)


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## The queue

    **You should see** all lines that waited when this page was opened, in the order in which they come to hand.
    """)
    return


@app.cell
def _(queue):
    lines_table(
        queue_rows(queue).select(["value", "why", "depends", "platform", "command_line", "command_id"]), page_size=8
    )
    return


if __name__ == "__main__":
    app.run()
