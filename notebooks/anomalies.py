import marimo

__generated_with = "0.25.2"
app = marimo.App(width="full", app_title="cmdclf: anomalies")

with app.setup:
    import altair as alt
    import marimo as mo
    import polars as pl
    from shared import code, frame, lines_table, open_study, picked, problem

    from cmdclf.detect import SCALES
    from cmdclf.errors import StudyError
    from cmdclf.lines import decode_layers
    from cmdclf.study import load_results
    from cmdclf.study.curves import saturation_text
    from cmdclf.study.views import (
        curve_rows,
        fired_checks,
        newest_anomalies,
        reading,
        saturation_table,
        top_anomalies,
        unusual_features,
    )


@app.cell(hide_code=True)
def _():
    mo.md("""
    # Anomalies

    Each training day, three detectors name the lines that are least like the rest. At **full scale** an isolation
    forest looks at hand-engineered features of every distinct line; at **reduced scale** k-means distance and PCA
    reconstruction error look at embeddings of a sample. An anomaly is rare and odd, not yet good or bad.
    """)
    return


@app.cell
def _():
    study = open_study()
    results = load_results(study)
    with reading(study) as _store:
        found = newest_anomalies(_store)
    return found, results, study


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## One day's most anomalous lines

    **You should see** long, obfuscated or simply unusual lines with few events, most of them benign. A higher score is
    more anomalous; scores of different detectors can't be compared, ranks can.
    """)
    return


@app.cell
def _(found):
    _days = sorted(set(found["day"].to_pylist()))
    day_picker = mo.ui.dropdown({str(d): d for d in _days}, value=str(_days[0]) if _days else None, label="Day")
    scale_picker = mo.ui.dropdown(list(SCALES), value="full", label="Scale")
    return day_picker, scale_picker


@app.cell
def _(day_picker, scale_picker):
    _names = list(SCALES[scale_picker.value]) if scale_picker.value else []
    detector_picker = mo.ui.dropdown(_names, value=_names[0] if _names else None, label="Detector")
    top_slider = mo.ui.slider(5, 200, step=5, value=20, label="Top k", show_value=True)
    mo.hstack([day_picker, scale_picker, detector_picker, top_slider], justify="start", gap=2)
    return detector_picker, top_slider


@app.cell
def _(day_picker, detector_picker, scale_picker, study, top_slider):
    mo.stop(
        not (day_picker.value and scale_picker.value and detector_picker.value),
        mo.callout("Choose a day, a scale and a detector.", kind="neutral"),
    )
    with reading(study) as _store:
        top = top_anomalies(_store, day_picker.value, scale_picker.value, detector_picker.value, top_slider.value)
    top_table = lines_table(top, selection="single", initial_selection=[0] if top.num_rows else None)
    top_table
    return top, top_table


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## Why this line?

    Select a line above. **You should see** it whole, what it hides layer by layer, the behavioural checks that it or a
    layer trips, and the features in which it lies farthest from the day's median line. Deviations count robust standard
    deviations; a check that few lines trip is far by itself.
    """)
    return


@app.cell
def _(top_table):
    selected = picked(top_table)
    mo.stop(selected is None, mo.callout("No line is selected in the table above.", kind="neutral"))
    layers = decode_layers(selected["command_line"], selected["platform"])
    mo.vstack(
        [
            mo.md(f"Rank {selected['rank']}, score {selected['score']:.4f}, events on that day: {selected['events']:,}"),
            code(selected["command_line"]),
            mo.md(f"**Decoded layers: {len(layers)}**" if layers else "It hides no layers."),
            *(mo.vstack([mo.md(f"`{layer.kind}`"), code(layer.text)], gap=0) for layer in layers),
        ]
    )
    return layers, selected


@app.cell
def _(selected):
    checks = fired_checks(selected["command_line"], selected["platform"])
    mo.vstack(
        [
            mo.md(f"**Behavioural checks: {checks.num_rows}**"),
            lines_table(checks) if checks.num_rows else mo.md("No check fires on the line or its layers."),
        ]
    )
    return (checks,)


@app.cell
def _(day_picker, selected, study):
    with reading(study) as _store:
        unusual = unusual_features(_store, day_picker.value, selected["command_id"])
    _chart = (
        alt.Chart(frame(unusual))
        .mark_bar(color="#D55E00")
        .encode(
            alt.X("deviation:Q", title="robust standard deviations from the day's median"),
            alt.Y("feature:N", sort=None, title=None, axis=alt.Axis(labelLimit=260)),
            tooltip=["meaning:N", "value:Q", "day_median:Q", "deviation:Q"],
        )
        .properties(width=720, height=240)
    )
    mo.vstack(
        [
            mo.md("**Features far from the day's median**"),
            _chart,
            lines_table(unusual, page_size=12, column_widths={"meaning": 480}),
        ]
    )
    return (unusual,)


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## How high the scores are

    The stored scores of the chosen detector by rank, the chosen day in colour and the other days in grey. **You should
    see** a steep start and a flat end: where the curve is flat, the top k could end as well. A day that lies above the
    others had something new in it.
    """)
    return


@app.cell
def _(day_picker, detector_picker, found, scale_picker):
    scores = frame(found).filter(
        (pl.col("scale") == scale_picker.value) & (pl.col("detector") == detector_picker.value)
    )
    mo.stop(scores.is_empty(), mo.callout("This detector has no anomalies.", kind="neutral"))
    _base = alt.Chart(scores.select("day", "rank", "score")).encode(
        alt.X("rank:Q", title="rank within the day"),
        alt.Y("score:Q", title="score", scale=alt.Scale(zero=False)),
        tooltip=["day:T", "rank:Q", "score:Q"],
    )
    _chosen = alt.Chart(scores.filter(pl.col("day") == day_picker.value).select("day", "rank", "score")).encode(
        alt.X("rank:Q"), alt.Y("score:Q"), tooltip=["day:T", "rank:Q", "score:Q"]
    )
    (
        _base.mark_line(color="#BBBBBB", strokeWidth=1).encode(detail="day:N")
        + _chosen.mark_line(color="#D55E00", strokeWidth=2.5, point={"color": "#D55E00", "size": 18})
    ).properties(width=720, height=260)
    return (scores,)


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## Do new days still bring new anomalies?

    All anomalies, the distinct ones, and those left after near-duplicates were put together, summed up over the
    training days at each scale and both together; below, the new lines of each day. **You should see** the three
    curves part: the lowest one is what a judge would have to be asked about, and it flattens as the estate repeats
    itself.
    """)
    return


@app.cell
def _(results):
    try:
        curves = frame(curve_rows(results))
        saturation = saturation_table(results)
    except StudyError as _error:
        mo.stop(True, problem("There are no curves by scale", _error))
    _names = ["all", "distinct", "near_distinct"]
    _base = alt.Chart(curves).encode(
        alt.X("day:O", title="training day", axis=alt.Axis(labelAngle=0, labelOverlap=True)),
        alt.Color("curve:N", title=None, scale=alt.Scale(domain=_names, range=["#000000", "#0072B2", "#D55E00"])),
        tooltip=["scale:N", "day:O", "curve:N", "anomalies:Q", "new:Q"],
    )
    _sums = _base.mark_line(point={"size": 12}).encode(alt.Y("anomalies:Q", title="anomalies, cumulative"))
    _pale = alt.when("datum.curve == 'distinct'").then(alt.value(0.35)).otherwise(alt.value(1))
    _steps = (
        _base.transform_filter("datum.curve != 'all'")
        .mark_bar()
        .encode(alt.Y("new:Q", title="new that day", stack=None), opacity=_pale)
    )
    _facet = alt.Column("scale:N", title=None, sort=["full", "reduced", "together"])
    alt.vconcat(
        _sums.properties(width=300, height=220).facet(column=_facet),
        _steps.properties(width=300, height=110).facet(column=_facet.header(labels=False)),
    )
    return curves, saturation


@app.cell
def _(results, saturation):
    mo.vstack([mo.md(saturation_text(results["curves"])), lines_table(saturation, hide=("all", "distinct", "near_distinct"))])
    return


if __name__ == "__main__":
    app.run()
