import marimo

__generated_with = "0.25.2"
app = marimo.App(width="full", app_title="cmdclf: deduplication and labels")

with app.setup:
    import altair as alt
    import marimo as mo
    from shared import code, frame, lines_table, open_study, picked, problem

    from cmdclf.dedup import THRESHOLD_COSINE, near_duplicates
    from cmdclf.errors import CmdclfError
    from cmdclf.labels import guard
    from cmdclf.lines import decode_layers
    from cmdclf.study.views import (
        day_anomaly_lines,
        group_members,
        group_rows,
        newest_anomalies,
        reading,
        record_review,
        review_queue,
        study_embedder,
        vetoed_lines,
    )


@app.cell(hide_code=True)
def _():
    mo.md("""
    # Deduplication and labels

    Many anomalies differ in a number or a path only. One representative of each group is put to a judge; the ledger
    keeps every verdict, and a person has the last word here.
    """)
    return


@app.cell
def _():
    study = open_study()
    embedder = study_embedder(study)
    with reading(study) as _store:
        found = newest_anomalies(_store)
    return embedder, found, study


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## Near-duplicates of a day

    The day's anomalies are grouped again whenever the slider moves: lines that are equal once numbers, hashes and the
    like are masked, then lines whose embeddings have at least this cosine similarity. **You should see** few groups at
    a low threshold, and at 1 only what masking alone puts together. A threshold is good when the members of a group
    would all get the same verdict: look at the examples.
    """)
    return


@app.cell
def _(found):
    _days = sorted(set(found["day"].to_pylist()))
    day_picker = mo.ui.dropdown({str(d): d for d in _days}, value=str(_days[0]) if _days else None, label="Day")
    threshold_slider = mo.ui.slider(
        0.7, 1.0, step=0.005, value=round(THRESHOLD_COSINE * 200) / 200, label="Cosine threshold", show_value=True
    )
    mo.hstack([day_picker, threshold_slider], justify="start", gap=2)
    return day_picker, threshold_slider


@app.cell
def _(day_picker, embedder, study):
    mo.stop(day_picker.value is None, mo.callout("Choose a day.", kind="neutral"))
    with reading(study) as _store:
        lines = day_anomaly_lines(_store, day_picker.value)
    vectors = embedder.embed(lines["command_line"].combine_chunks())
    return lines, vectors


@app.cell
def _(lines, threshold_slider, vectors):
    groups = near_duplicates(lines, vectors, threshold=threshold_slider.value)
    grouped = group_rows(lines, groups)
    mo.hstack(
        [
            mo.stat(f"{lines.num_rows:,}", label="distinct anomalies of the day", bordered=True),
            mo.stat(f"{grouped.num_rows:,}", label="near-distinct at this threshold", bordered=True),
            mo.stat(f"{sum(grouped['masked'].to_pylist()):,}", label="joined by masking", bordered=True),
            mo.stat(f"{sum(grouped['cosine'].to_pylist()):,}", label="joined by cosine", bordered=True),
        ],
        widths="equal",
    )
    return grouped, groups


@app.cell
def _(grouped):
    groups_table = lines_table(
        grouped,
        hide=("representative_id",),
        selection="single",
        initial_selection=[0] if grouped.num_rows else None,
        page_size=6,
    )
    groups_table
    return (groups_table,)


@app.cell
def _(groups, groups_table, lines):
    _group = picked(groups_table)
    mo.stop(_group is None, mo.callout("Select a group above to see its members.", kind="neutral"))
    members = group_members(lines, groups, _group["representative_id"])
    mo.vstack(
        [
            mo.md(f"**The {members.num_rows} members of the selected group**, the representative first"),
            lines_table(members, page_size=6, column_widths={"command_line": 900}),
        ]
    )
    return (members,)


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## The ledger

    Latest verdicts by judge. **You should see** mostly `benign` (rare lines are mostly odd administration), and the
    vetoes apart: there a judge said benign, but a precise rule or an injection phrase spoke against it, so the line
    counts as `unsure` and never enters training.
    """)
    return


@app.cell
def _():
    # Each recorded review adds a line here, and whatever reads the ledger runs again.
    recorded, set_recorded = mo.state(())
    return recorded, set_recorded


@app.cell
def _(recorded, study):
    recorded()
    with reading(study) as _store:
        counts = _store.verdict_counts()
        vetoes = vetoed_lines(_store)
        queue = review_queue(_store)
    return counts, queue, vetoes


@app.cell
def _(counts, vetoes):
    _chart = (
        alt.Chart(frame(counts))
        .mark_bar()
        .encode(
            alt.X("sum(lines):Q", title="lines"),
            alt.Y("judge:N", title=None, axis=alt.Axis(labelLimit=200)),
            alt.Color(
                "verdict:N",
                scale=alt.Scale(domain=["benign", "malicious", "unsure"], range=["#009E73", "#D55E00", "#999999"]),
            ),
            tooltip=["verdict:N", "vetoed:N", "lines:Q"],
        )
        .properties(width=260, height=alt.Step(34))
    )
    mo.vstack(
        [
            mo.hstack([_chart, lines_table(counts)], widths=[1.2, 1], align="start"),
            mo.md(f"**Vetoed: {vetoes.num_rows}**"),
            lines_table(vetoes, page_size=5) if vetoes.num_rows else mo.md("No benign verdict was vetoed."),
        ]
    )
    return


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## Review

    Every line with a verdict and every representative without one, most doubtful first. Select one, read it, record
    what you think: it goes into the ledger as judge `person`, supersedes what was said before and erases nothing.
    **You should see** the line's history grow by one row, and the counts above follow.
    """)
    return


@app.cell
def _():
    state_picker = mo.ui.dropdown(
        ["all", "vetoed", "unsure", "pending", "malicious", "benign"], value="all", label="Show"
    )
    state_picker
    return (state_picker,)


@app.cell
def _(queue, state_picker):
    _wanted = state_picker.value or "all"
    _chosen = queue if _wanted == "all" else queue.filter([s == _wanted for s in queue["state"].to_pylist()])
    review_table = lines_table(
        _chosen.select(
            ["state", "judge", "confidence", "platform", "command_line", "reason", "vetoed_by", "command_id"]
        ),
        selection="single",
        page_size=8,
    )
    review_table
    return (review_table,)


@app.cell
def _(review_table, study):
    under_review = picked(review_table)
    mo.stop(under_review is None, mo.callout("Select a line in the table above to review it.", kind="neutral"))
    with reading(study) as _store:
        _line = _store.lines_by_id([under_review["command_id"]])
        history = _store.verdict_history(under_review["command_id"])
    warnings = guard(_line)["reasons"][0].as_py()
    _layers = decode_layers(under_review["command_line"], under_review["platform"])
    mo.vstack(
        [
            code(under_review["command_line"]),
            *(mo.vstack([mo.md(f"`{layer.kind}`"), code(layer.text)], gap=0) for layer in _layers),
            mo.callout(mo.plain_text("\n".join(warnings)), kind="warn")
            if warnings
            else mo.md("The guard has nothing against this line."),
            lines_table(
                history.select(["judged_at", "judge", "verdict", "confidence", "technique", "reason", "note"]),
                page_size=5,
            )
            if history.num_rows
            else mo.md("Nobody has judged it yet."),
        ]
    )
    return history, under_review, warnings


@app.cell
def _(under_review):
    # A new form for each line: nothing typed for one line may be recorded for another.
    _ = under_review["command_id"]
    verdict_radio = mo.ui.radio(["benign", "malicious", "unsure"], label="Verdict", inline=True)
    technique_text = mo.ui.text(label="ATT&CK technique", placeholder="T1059.001", max_length=40)
    reason_text = mo.ui.text_area(label="Reason", max_length=2000, rows=2, full_width=True)
    record_button = mo.ui.run_button(label="Record this verdict", kind="success")
    mo.vstack([mo.hstack([verdict_radio, technique_text], justify="start", gap=2), reason_text, record_button])
    return reason_text, record_button, technique_text, verdict_radio


@app.cell
def _(
    reason_text,
    record_button,
    set_recorded,
    study,
    technique_text,
    under_review,
    verdict_radio,
):
    mo.stop(not record_button.value)
    mo.stop(verdict_radio.value is None, mo.callout("Choose a verdict first.", kind="warn"))
    try:
        _rows = record_review(
            study,
            under_review["command_id"],
            verdict_radio.value,
            technique=technique_text.value,
            reason=reason_text.value,
        )
    except CmdclfError as error:
        mo.stop(True, problem("The verdict was not recorded", error))
    _said = f"{_rows['verdict'][-1].as_py()} for {under_review['command_id']}, row {_rows['seq'][-1].as_py()}"
    set_recorded(lambda before: (*before, _said))
    return


@app.cell
def _(recorded):
    mo.callout(mo.plain_text("\n".join(recorded())), kind="success") if recorded() else mo.md("*Nothing recorded yet.*")
    return


if __name__ == "__main__":
    app.run()
