import marimo

__generated_with = "0.25.2"
app = marimo.App(width="full", app_title="cmdclf: classifier")

with app.setup:
    import altair as alt
    import marimo as mo
    import polars as pl
    import pyarrow as pa
    from shared import code, frame, lines_table, open_study, picked

    from cmdclf.classify import Scorer
    from cmdclf.study import load_results
    from cmdclf.study.plots import COLOURS, LABELS
    from cmdclf.study.views import arm_rows, arm_thresholds, confusion, errors, roc_rows, scored_test


@app.cell(hide_code=True)
def _():
    mo.md("""
    # Classifier

    Every arm is a baseline plus the lines that a judge called benign, at the same number of labels. The **incident
    test** holds expert-labelled hard cases; the **time-split test** is labelled by the baseline itself and shows drift,
    not quality.
    """)
    return


@app.cell
def _():
    study = open_study()
    results = load_results(study)
    return results, study


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## The arms

    **You should see** whether any arm beats its baseline and the random control by more than its interval is wide.
    Don't lean on a rate at a false-positive rate named under `unresolved`: the test has too few benign lines for it, so
    it hangs on a handful of them.
    """)
    return


@app.cell
def _(results):
    _tests = list(dict.fromkeys(name for arm in results["arms"] for name in arm["tests"]))
    test_picker = mo.ui.dropdown(_tests, value=_tests[0] if _tests else None, label="Test")
    test_picker
    return (test_picker,)


@app.cell
def _(results, test_picker):
    mo.stop(test_picker.value is None, mo.callout("Choose a test.", kind="neutral"))
    test = test_picker.value
    arms = arm_rows(results, test)
    lines_table(arms, page_size=12, column_widths=dict.fromkeys(arms.column_names, 92))
    return arms, test


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## ROC curves where alerts are affordable

    The false-positive rate is on a log axis, because an analyst lives at its left end: at one in a thousand, a busy
    estate still has thousands of alerts a day. **You should see** the arms part on the left, if they part at all.
    """)
    return


@app.cell
def _(arms, results, test):
    _titles = {"rb": "Regex baseline (RB)", "ab": "Aggregated baseline (AB)"}
    _kinds = pl.DataFrame(
        [(a["name"], _titles[a["baseline"]], LABELS[a["arm"]]) for a in results["arms"]],
        schema=["arm", "baseline", "kind"],
        orient="row",
    )
    _curves = frame(roc_rows(results, test)).join(_kinds, on="arm")
    mo.stop(_curves.is_empty(), mo.callout("No arm has a ROC curve on this test.", kind="neutral"))
    _low = float(_curves["fpr"].min())
    (
        alt.Chart(_curves)
        .mark_line(interpolate="step-after", strokeWidth=2)
        .encode(
            alt.X(
                "fpr:Q",
                scale=alt.Scale(type="log", domain=[_low, 1], nice=False),
                title="false-positive rate (log)",
            ),
            alt.Y("tpr:Q", scale=alt.Scale(domain=[0, 1]), title="true-positive rate"),
            alt.Color(
                "kind:N",
                title=None,
                scale=alt.Scale(domain=list(LABELS.values()), range=[COLOURS[k] for k in LABELS]),
            ),
            alt.Column("baseline:N", title=None, sort="descending"),
            tooltip=["arm:N", alt.Tooltip("fpr:Q", format=".4f"), alt.Tooltip("tpr:Q", format=".3f")],
        )
        .properties(width=400, height=300)
    )
    return


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## One arm at one threshold

    Choose an arm and move the threshold. **You should see** false alerts and misses trade against each other; their
    lists below say what kind of line the arm doesn't understand yet.
    """)
    return


@app.cell
def _(results):
    _names = [arm["name"] for arm in results["arms"]]
    arm_picker = mo.ui.dropdown(_names, value=_names[-1] if _names else None, label="Arm")
    threshold_slider = mo.ui.slider(
        0.0, 1.0, step=0.005, value=0.5, label="Alert from score", show_value=True, full_width=True
    )
    mo.hstack([arm_picker, threshold_slider], widths=[1, 3], gap=2)
    return arm_picker, threshold_slider


@app.cell
def _(arm_picker, study, test):
    mo.stop(arm_picker.value is None, mo.callout("Choose an arm.", kind="neutral"))
    scored = scored_test(study, arm_picker.value, test)
    _stored = {f: t for f, t in arm_thresholds(study, arm_picker.value).items() if t is not None}
    mo.md(
        "Thresholds that this arm's model stores: "
        + ", ".join(f"{t:.4f} for FPR {f}" for f, t in _stored.items())
        if _stored
        else "This arm's model stores no thresholds: it had too few benign validation lines to resolve them."
    )
    return (scored,)


@app.cell
def _(scored, threshold_slider):
    counts = confusion(scored, threshold_slider.value)
    false_alerts = errors(scored, threshold_slider.value, "false alerts")
    misses = errors(scored, threshold_slider.value, "misses")
    _malicious, _benign = counts.to_pylist()
    mo.hstack(
        [
            mo.stat(f"{_malicious['alerted']:,}", label="malicious, alerted", bordered=True),
            mo.stat(f"{_malicious['quiet']:,}", label="malicious, missed", bordered=True),
            mo.stat(f"{_benign['alerted']:,}", label="benign, false alerts", bordered=True),
            mo.stat(f"{_benign['quiet']:,}", label="benign, quiet", bordered=True),
        ],
        widths="equal",
    )
    return counts, false_alerts, misses


@app.cell
def _(scored, threshold_slider):
    def _scores(truth, label, colour):
        bars = (
            alt.Chart(frame(scored.select(["label", "score"])).filter(pl.col("label") == label))
            .mark_bar(color=colour)
            .encode(
                alt.X("score:Q", bin=alt.Bin(extent=[0, 1], step=0.02), title="score", axis=alt.Axis(values=_TICKS)),
                alt.Y("count():Q", title=f"{truth} lines", scale=alt.Scale(type="symlog")),
            )
        )
        return (bars + _rule).properties(width=720, height=90)

    _TICKS = [i / 10 for i in range(11)]
    _rule = (
        alt.Chart(pl.DataFrame({"threshold": [threshold_slider.value]}))
        .mark_rule(color="black", strokeDash=[4, 3], strokeWidth=2)
        .encode(alt.X("threshold:Q"))
    )
    _scores("benign", 0, "#009E73") & _scores("malicious", 1, "#D55E00")
    return


@app.cell
def _(false_alerts, misses):
    false_table = lines_table(false_alerts, page_size=6, selection="single")
    miss_table = lines_table(misses, page_size=6, selection="single")
    mo.vstack(
        [
            mo.md(f"**False alerts: {false_alerts.num_rows:,}**, the highest scores first"),
            false_table if false_alerts.num_rows else mo.md("None at this threshold."),
            mo.md(f"**Misses: {misses.num_rows:,}**, the lowest scores first"),
            miss_table if misses.num_rows else mo.md("None at this threshold."),
        ]
    )
    return false_table, miss_table


@app.cell
def _(false_table, miss_table):
    _rows = [row for row in (picked(false_table), picked(miss_table)) if row]
    mo.vstack([code(row["command_line"]) for row in _rows]) if _rows else mo.md("*Select an error to read it whole.*")
    return


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## Score your own line

    The study's exported model, as `cmdclf score --explain` uses it. **You should see** a score, the verdict at the
    model's thresholds, what the line hides, and the behavioural checks with how much the score falls without each.
    """)
    return


@app.cell
def _(study):
    scorer = Scorer.load(study / "model", threads=1)
    line_text = mo.ui.text_area(
        value="powershell.exe -NoProfile -EncodedCommand RwBlAHQALQBQAHIAbwBjAGUAcwBzAA==",
        label="Command line",
        rows=3,
        max_length=32_768,
        full_width=True,
        debounce=True,
    )
    platform_picker = mo.ui.dropdown(["guess", "windows", "linux", "macos"], value="guess", label="Platform")
    mo.vstack([line_text, platform_picker])
    return line_text, platform_picker, scorer


@app.cell
def _(line_text, platform_picker, scorer):
    mo.stop(not line_text.value.strip(), mo.callout("Type a command line above.", kind="neutral"))
    _platform = None if platform_picker.value in (None, "guess") else platform_picker.value
    _batch = pa.record_batch(
        {"command_line": pa.array([line_text.value], pa.string()), "platform": pa.array([_platform], pa.string())}
    )
    own = scorer.score(_batch).to_pylist()[0] | scorer.explain(_batch).to_pylist()[0]
    _kind = {"benign": "success", "unsure": "warn", "malicious": "danger"}[own["verdict"]]
    mo.vstack(
        [
            mo.callout(mo.md(f"**{own['verdict']}**, score {own['score']:.4f}"), kind=_kind),
            mo.md("**Layers**" if own["layers"] else "It hides no layers."),
            *(code(layer) for layer in own["layers"]),
            mo.md("**Checks, by their effect on the score**" if own["reasons"] else "No behavioural check fires."),
            *([code("\n".join(own["reasons"]))] if own["reasons"] else []),
        ]
    )
    return (own,)


if __name__ == "__main__":
    app.run()
