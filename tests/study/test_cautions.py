"""What a study warns of: each with the setting and the remedy."""

from __future__ import annotations

import dataclasses
import json
import shutil
from datetime import date, timedelta
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cmdclf.lexicon import Lexicon
from cmdclf.store import Store
from cmdclf.study import load_study, run_study
from cmdclf.study.cautions import (
    few_candidates,
    known_answers,
    missing_days,
    named,
    near_duplicates_of,
    shared_sources,
    tell,
    unanswered,
)
from cmdclf.study.known import template_ids

FIRST = date(2026, 1, 5)


def _days(*numbers):
    return [FIRST + timedelta(n) for n in numbers]


def test_days_without_a_gap_are_not_spoken_of():
    assert missing_days(SimpleNamespace(train_days=_days(0, 1), test_days=_days(2))) == []


def test_missing_days_are_named_within_the_range_and_between_its_parts():
    (said,) = missing_days(SimpleNamespace(train_days=_days(0, 2), test_days=_days(4)))
    assert "data.lake lacks 2 days between 2026-01-05 and 2026-01-09: 2026-01-06, 2026-01-08." in said
    assert "ingest" in said
    (said,) = missing_days(SimpleNamespace(train_days=_days(0), test_days=_days(10)))
    assert "2026-01-10 and 4 more" in said


def _file(path, **columns):
    n = len(next(iter(columns.values())))
    lines = {"command_line": [f"tool {k}" for k in range(n)], "platform": ["linux"] * n, "label": ["malicious"] * n}
    pq.write_table(pa.table(lines | columns), path)
    return path


def _config(tmp_path, incident, labelled, baselines=("rb", "ab"), arms=("base", "mined"), lexicon_lines=1):
    files = [_file(tmp_path / f"{name}.parquet", **c) for name, c in (("incident", incident), ("attacks", labelled))]
    return SimpleNamespace(
        baselines=baselines,
        arms=arms,
        data=SimpleNamespace(incident=(files[0],)),
        model=SimpleNamespace(labelled=(files[1],), lexicon_lines=lexicon_lines),
    )


@pytest.mark.parametrize(
    ("incident", "labelled", "shared"),
    [
        ({"source": ["a", "b"]}, {"source": ["c", "d"]}, None),
        ({"source": ["a", "b"]}, {"source": ["b", "a", "c"]}, "2 sources with model.labelled: a, b."),
        ({"source": ["a", None]}, {"source": ["b", None]}, None),
        ({"source": ["a"]}, {"group_id": ["a"]}, None),
        ({"source": ["a"], "family": ["x"]}, {"source": ["a"], "family": ["y"]}, None),
        ({"source": ["a"], "family": ["x"]}, {"source": ["b"], "family": ["x"]}, "1 sources with model.labelled: x."),
        ({"source": ["a"], "family": ["x"]}, {"source": ["a"]}, "1 sources with model.labelled: a."),
    ],
)
def test_sources_that_test_and_training_share_are_named(tmp_path, incident, labelled, shared):
    said = shared_sources(_config(tmp_path, incident, labelled))
    assert len(said) == (shared is not None)
    for text in said:
        assert "data.incident (incident.parquet)" in text
        assert shared in text
        assert "leave these sources out" in text
    assert shared_sources(_config(tmp_path, incident, labelled, ("rb",))) == []


def test_more_than_half_of_a_test_removed_is_said():
    assert near_duplicates_of("data.incident", "incident", 10, {"exact": 3, "cosine": 2}) == []
    (said,) = near_duplicates_of("data.incident", "incident", 10, {"exact": 3, "cosine": 3})
    assert "6 of the 10 lines of the test 'incident'" in said
    assert "data.incident" in said


def test_arms_that_asked_about_fewer_lines_are_named():
    assert few_candidates("labels.budget = 30", {"ab+full": (30, 30)}) == []
    (said,) = few_candidates("labels.budget = 30", {"ab+full": (30, 30), "ab+reduced": (20, 30)})
    assert "labels.budget = 30 exceeds the candidates" in said
    assert "ab+reduced 20 of 30" in said
    assert "ab+full" not in said


@pytest.mark.parametrize(("asked", "pending", "said"), [(0, 0, 0), (10, 4, 0), (10, 5, 1), (10, 10, 1)])
def test_a_judge_that_leaves_half_is_named_with_the_remedy(asked, pending, said):
    texts = unanswered("the judge (labels.judge = 'recorded')", asked, pending, "Do this")
    assert len(texts) == said
    assert all("labels.judge" in text and text.endswith("Do this") for text in texts)


def test_hostile_names_stay_text(capsys):
    tell(["it is " + named(["a\x1b[2J", "b\nc", chr(0xD800)])])
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "\x1b" not in err
    err.encode()


@pytest.fixture(scope="module")
def faulty(small_study, tmp_path_factory):
    """A study with everything that is warned of: a day without events, shared sources, few candidates, few verdicts."""
    folder = tmp_path_factory.mktemp("faulty")
    days = sorted(small_study.with_name("lake").glob("day=*"))
    for day in (*days[:1], *days[2:]):
        shutil.copytree(day, folder / "lake" / day.name)
    for name in ("incident", "labelled"):
        table = pq.read_table(small_study.with_name(f"{name}.parquet"))
        some = table.take(list(range(0, table.num_rows, 16)))
        pq.write_table(some.drop_columns(["family"]), folder / f"{name}.parquet")
    verdicts = {"command_line": ["ls"], "platform": ["linux"], "verdict": ["benign"], "confidence": [0.9]}
    pq.write_table(pa.table(verdicts), folder / "verdicts.parquet")
    text = small_study.read_text(encoding="utf-8").replace("bootstrap = 100", 'bootstrap = 20\nbaselines = ["ab"]')
    text = text.replace("[data]", 'arms = ["reduced"]\n[data]', 1).replace("train_days = 3", "train_days = 2")
    text = text.replace('judge = "truth"', 'judge = "recorded"\nrecorded = "verdicts.parquet"')
    text = text.replace('truth = "lake.truth.parquet"\n', "").replace("budget = 30", "budget = 500")
    text = text.replace("max_iter = 20", 'max_iter = 2\nexport = "ab+reduced"')
    (folder / "study.toml").write_text(text, encoding="utf-8")
    return load_study(folder / "study.toml")


def test_a_study_says_all_of_it_on_stderr_in_its_results_and_in_its_report(faulty, tmp_path, capsys):
    results = run_study(faulty, tmp_path, progress=False)
    said = results["warnings"]
    assert [text.split(" ")[0] for text in said] == ["data.lake", "the", "labels.budget", "the"]
    assert capsys.readouterr().err.splitlines() == [f"warning: {text}" for text in said]
    missing, shared, budget, silent = said
    assert "lacks 1 days" in missing
    assert "model.labelled" in shared
    assert "labels.budget = 500" in budget
    assert "ab+reduced" in budget
    assert "labels.judge = 'recorded', labels.recorded = 'verdicts.parquet'" in silent
    assert "export-batch" in silent
    waiting = pq.read_table(tmp_path / "pending.parquet")
    assert waiting.num_rows == results["labels"]["pending"] == results["labels"]["asked"] > 0
    assert set(waiting.column_names) >= {"command_line", "platform"}
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("<li>") == 4
    assert json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))["warnings"] == said

    # With the answers named, neither the warning nor the file is left.
    with Store.open(tmp_path / "study.duckdb") as store:
        lines = store.lines_by_id(waiting["command_id"].combine_chunks())
    n = lines.num_rows
    answers = lines.select(["platform", "command_line"]).append_column("verdict", pa.array(["benign"] * n))
    file = tmp_path / "answers.parquet"
    pq.write_table(answers.append_column("confidence", pa.array([0.9] * n)), file)
    other = dataclasses.replace(faulty, labels=dataclasses.replace(faulty.labels, recorded=file))
    assert run_study(other, tmp_path, progress=False)["warnings"] == said[:3]
    assert not (tmp_path / "pending.parquet").exists()


def test_a_sound_study_has_nothing_to_warn_of(finished_study):
    results = json.loads((finished_study / "results.json").read_text(encoding="utf-8"))
    assert results["warnings"] == []
    assert not (finished_study / "pending.parquet").exists()
    assert "<h2>Warnings</h2>" not in (finished_study / "report.html").read_text(encoding="utf-8")


def test_a_test_made_from_the_bundled_lexicon_is_named_where_the_mined_arm_knows_it(tmp_path):
    ids = sorted(template_ids())
    assert len(ids) == len(Lexicon.load().templates)
    mine = {"group_id": [*ids[:2], "x", None]}
    (said,) = known_answers(_config(tmp_path, mine, {"source": ["a"]}))
    assert "data.incident (incident.parquet)" in said
    assert "model.lexicon_lines = 0" in said
    for others in ({"group_id": ["x", *"abcdefghijk", ids[0]]}, {"source": ids[:2]}):
        assert known_answers(_config(tmp_path, others, {"source": ["a"]})) == []
    for change in ({"lexicon_lines": 0}, {"arms": ("base", "random")}):
        assert known_answers(_config(tmp_path, mine, {"source": ["a"]}, **change)) == []
