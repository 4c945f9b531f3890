import marimo

__generated_with = "0.25.2"
app = marimo.App(width="full", app_title="cmdclf: deduplication and labels")

with app.setup:
    import altair as alt
    import marimo as mo
    from shared import frame, lines_table, open_study, picked, queue_rows

    from cmdclf.dedup import THRESHOLD_COSINE, near_duplicates
    from cmdclf.labels.review import review_queue
    from cmdclf.study.views import (
        day_anomaly_lines,
        group_members,
        group_rows,
        newest_anomalies,
        reading,
        study_embedder,
        vetoed_lines,
    )


@app.cell(hide_code=True)
def _():
    mo.md("""
    # Deduplication and labels

    Many anomalies differ in a number or a path only. One representative of each group is put to a judge; the ledger
    keeps every verdict, and a person has the last word.
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
def _(study):
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

    What is worth a person's look, the most valuable first, with the reasons; `marimo run review.py -- --study DIR` puts
    these lines to you one by one. **You should see** vetoed and unsure lines, groups that many lines depend on, and
    lines that nobody has judged yet.
    """)
    return


@app.cell
def _(queue):
    lines_table(
        queue_rows(queue).select(
            ["value", "why", "depends", "verdict", "confidence", "platform", "command_line", "command_id"]
        ),
        page_size=8,
    )
    return


if __name__ == "__main__":
    app.run()
