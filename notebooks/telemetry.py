import marimo

__generated_with = "0.25.2"
app = marimo.App(width="full", app_title="cmdclf: telemetry and sampling")

with app.setup:
    import altair as alt
    import marimo as mo
    import polars as pl
    from shared import code, frame, lines_table, open_study, picked

    from cmdclf.study import load_results
    from cmdclf.study.views import (
        day_counts,
        frequencies,
        length_histogram,
        platform_counts,
        platform_shares,
        reading,
        top_lines,
    )


@app.cell(hide_code=True)
def _():
    mo.md("""
    # Telemetry and sampling

    What came in, before anything is looked for: process events by day, the distinct command lines among them, and
    the sample of a day that the reduced scale works on. Everything here reads the folder of a finished study
    (`--study DIR`).
    """)
    return


@app.cell
def _():
    study = open_study()
    results = load_results(study)
    return results, study


@app.cell
def _(results, study):
    with reading(study) as _store:
        days = day_counts(_store, results)
        platforms = platform_counts(_store)
    mo.hstack(
        [
            mo.stat(f"{sum(days['events'].to_pylist()):,}", label="process events", bordered=True),
            mo.stat(f"{results['data']['train_distinct']:,}", label="distinct lines, training days", bordered=True),
            mo.stat(
                len(days),
                label=f"days, {days['role'].to_pylist().count('test')} of them for the test",
                bordered=True,
            ),
        ],
        widths="equal",
    )
    return days, platforms


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## Events and distinct lines per day

    **You should see** far fewer distinct lines than events, about the same number every day, and a steady
    part of them that no earlier day had: known programs with new parameters, and the long tail. The grey bars are the test days.
    """)
    return


@app.cell
def _(days):
    _data = frame(days)
    _bars = (
        alt.Chart(_data)
        .mark_bar(opacity=0.55)
        .encode(
            alt.X("yearmonthdate(day):O", title="day"),
            alt.Y("events:Q", title="process events"),
            alt.Color(
                "role:N",
                title="days",
                scale=alt.Scale(domain=["training", "test"], range=["#56B4E9", "#999999"]),
                legend=alt.Legend(orient="top"),
            ),
            tooltip=["day:T", "role:N", "events:Q", "distinct:Q", "new:Q"],
        )
    )
    _lines = (
        alt.Chart(_data.unpivot(["distinct", "new"], index=["day"], variable_name="lines", value_name="count"))
        .mark_line(point=True)
        .encode(
            alt.X("yearmonthdate(day):O", title="day"),
            alt.Y("count:Q", title="command lines"),
            alt.Color(
                "lines:N",
                title="command lines",
                scale=alt.Scale(domain=["distinct", "new"], range=["#0072B2", "#D55E00"]),
                legend=alt.Legend(orient="top"),
            ),
            tooltip=["day:T", "lines:N", "count:Q"],
        )
    )
    alt.hconcat(
        _bars.properties(width=420, height=240), _lines.properties(width=420, height=240)
    ).resolve_scale(color="independent")
    return


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## Platforms

    **You should see** the mix of the estate, steady over the days. A platform that appears or vanishes overnight is a
    sensor that was switched on or off, and would show up as a wave of anomalies.
    """)
    return


@app.cell
def _():
    platform_measure = mo.ui.dropdown(["events", "lines"], value="events", label="Count")
    platform_measure
    return (platform_measure,)


@app.cell
def _(platform_measure, platforms):
    (
        alt.Chart(frame(platforms))
        .mark_bar()
        .encode(
            alt.X("yearmonthdate(day):O", title="day"),
            alt.Y(f"{platform_measure.value}:Q", title=f"{platform_measure.value} per day"),
            alt.Color(
                "platform:N",
                scale=alt.Scale(domain=["windows", "linux", "macos"], range=["#0072B2", "#009E73", "#E69F00"]),
            ),
            tooltip=["day:T", "platform:N", "events:Q", "lines:Q"],
        )
        .properties(width=720, height=220)
    )
    return


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## The busiest lines, and how long the tail is

    **You should see** a few housekeeping lines on top, and in the picture a straight fall on both log axes: most
    distinct lines were seen once. Select a line to read it whole.
    """)
    return


@app.cell
def _(days):
    _known = [str(d) for d in days["day"].to_pylist()]
    day_picker = mo.ui.dropdown(dict(zip(_known, days["day"].to_pylist())), value=_known[-1], label="Day")
    top_slider = mo.ui.slider(5, 100, step=5, value=20, label="Lines", show_value=True)
    mo.hstack([day_picker, top_slider], justify="start", gap=2)
    return day_picker, top_slider


@app.cell
def _(day_picker, study, top_slider):
    with reading(study) as _store:
        busiest = top_lines(_store, [day_picker.value], top_slider.value)
        seen = frequencies(_store, [day_picker.value])
    busiest_table = lines_table(
        busiest.select(["events", "hosts", "platform", "command_line", "command_id"]), selection="single"
    )
    busiest_table
    return busiest, busiest_table, seen


@app.cell
def _(busiest_table):
    _row = picked(busiest_table)
    code(_row["command_line"]) if _row else mo.md("*No line selected.*")
    return


@app.cell
def _(seen):
    (
        alt.Chart(frame(seen))
        .mark_circle(size=45, color="#0072B2")
        .encode(
            alt.X("events:Q", scale=alt.Scale(type="log"), title="times that a line was seen on that day (log)"),
            alt.Y("lines:Q", scale=alt.Scale(type="log"), title="distinct lines (log)"),
            tooltip=["events:Q", "lines:Q"],
        )
        .properties(width=720, height=240)
    )
    return


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## The day's sample

    The reduced scale looks at the lines with the smallest salted hash. **You should see** the platform shares of the
    sample come close to those of the day as it grows, the lengths follow the day's, and a smaller sample always
    contained in a larger one: move the slider back and forth, the first lines of the table stay.
    """)
    return


@app.cell
def _(day_picker, days):
    _distinct = dict(zip(days["day"].to_pylist(), days["distinct"].to_pylist()))[day_picker.value]
    sample_slider = mo.ui.slider(
        1, max(_distinct, 2), value=min(100, _distinct), label="Lines in the sample", show_value=True, full_width=True
    )
    seed_number = mo.ui.number(0, 999, value=0, label="Seed")
    mo.hstack([sample_slider, seed_number], widths=[4, 1], gap=2)
    return sample_slider, seed_number


@app.cell
def _(day_picker, sample_slider, seed_number, study):
    with reading(study) as _store:
        sample = _store.sample(day_picker.value, sample_slider.value, seed=int(seed_number.value or 0))
        # At most 20,000 lines of the day stand for all of it: they are a sample too, and a large one.
        whole = _store.sample(day_picker.value, 20_000)
    lines_table(
        sample.select(["events", "platform", "command_line", "command_id"]), page_size=5, column_widths={"command_line": 900}
    )
    return sample, whole


@app.cell
def _(sample, whole):
    def _both(view):
        named = [(f"{name} ({lines.num_rows:,} lines)", lines) for name, lines in (("day", whole), ("sample", sample))]
        return pl.concat([frame(view(lines)).with_columns(which=pl.lit(name)) for name, lines in named])

    _platforms = (
        alt.Chart(_both(platform_shares))
        .mark_bar()
        .encode(
            alt.X("share:Q", axis=alt.Axis(format="%"), title="share of the distinct lines"),
            alt.Y("which:N", title=None),
            alt.Color(
                "platform:N",
                scale=alt.Scale(domain=["windows", "linux", "macos"], range=["#0072B2", "#009E73", "#E69F00"]),
            ),
            tooltip=["which:N", "platform:N", "lines:Q", alt.Tooltip("share:Q", format=".1%")],
        )
        .properties(width=260, height=120)
    )
    _lengths = (
        alt.Chart(_both(length_histogram))
        .mark_line(interpolate="step-after", strokeWidth=2)
        .encode(
            alt.X("from:Q", scale=alt.Scale(type="log", base=2, nice=False), title="length in characters (log)"),
            alt.Y("share:Q", axis=alt.Axis(format="%"), title="share of the lines"),
            alt.Color("which:N", title=None, scale=alt.Scale(range=["#999999", "#D55E00"])),
            tooltip=["which:N", alt.Tooltip("from:Q", format=".0f"), alt.Tooltip("to:Q", format=".0f"), "lines:Q"],
        )
        .properties(width=340, height=220)
    )
    alt.hconcat(_platforms, _lengths).resolve_scale(color="independent")
    return


if __name__ == "__main__":
    app.run()
