from __future__ import annotations

import argparse
import hashlib
import io
import json
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cmdclf.cli import main
from cmdclf.cli._lines_io import (
    LinesWriter,
    add_io_arguments,
    command_lines,
    open_lines,
    open_writer,
    parents,
    platforms,
    with_columns,
)
from cmdclf.errors import CmdclfError


def table(path, **options) -> pa.Table:
    lines = open_lines(path, **options)
    return pa.Table.from_batches(list(lines), schema=lines.schema)


def pipe(monkeypatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_text_keeps_every_line_and_makes_bad_bytes_readable(tmp_path):
    file = tmp_path / "lines.txt"
    file.write_bytes(b"whoami /all\r\n\nab\xffc\x00d\n  last without newline")
    assert table(file)["command_line"].to_pylist() == ["whoami /all", "", "ab\\xffc\\x00d", "  last without newline"]


@pytest.mark.parametrize("name", ["empty.txt", "empty.jsonl"])
def test_an_empty_file_gives_one_empty_batch(tmp_path, name):
    file = tmp_path / name
    file.write_bytes(b"")
    batches = list(open_lines(file))
    assert [b.num_rows for b in batches] == [0]
    assert batches[0].schema.names == ["command_line"]


def test_batches_are_bounded_in_rows_and_in_bytes(tmp_path):
    file = tmp_path / "lines"
    file.write_text("x\n" * 10 + ("y" * 6_000_000 + "\n") * 6)
    assert [b.num_rows for b in open_lines(file, batch_rows=4)] == [4, 4, 4, 3, 1]


def test_csv_keeps_columns_as_written_and_quoted_line_breaks(tmp_path):
    file = tmp_path / "lines.csv"
    file.write_bytes(b'\xef\xbb\xbfid,command_line,n\n007,"echo ""a,b""\nrm x",1.50\n,plain \xff\x00,\n')
    got = table(file)
    assert got.column_names == ["id", "command_line", "n"]
    assert got.to_pylist() == [
        {"id": "007", "command_line": 'echo "a,b"\nrm x', "n": "1.50"},
        {"id": "", "command_line": "plain \\xff\\x00", "n": ""},
    ]


def test_json_lines_keep_types_nesting_and_late_keys_of_a_file(tmp_path):
    rows = [
        {"n": 1, "command_line": "a", "tags": ["x", {"y": None}], "ok": True, "mixed": 1},
        {"n": 2, "command_line": None, "mixed": "two", "late": 1.5},
        {"command_line": "c \ud800 \0"},
    ]
    source, copy = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("\n\n".join(json.dumps(r) for r in rows))
    lines = open_lines(source, batch_rows=2)
    with LinesWriter(copy) as out:
        for batch in lines:
            out.write(batch)
    back = [json.loads(line) for line in copy.read_text().splitlines()]
    keys = ["n", "command_line", "tags", "ok", "mixed", "late"]
    rows[2]["command_line"] = "c \\ud800 \\x00"
    assert back == [{k: r.get(k) for k in keys} for r in rows]
    assert list(back[0]) == keys


def test_undecodable_bytes_inside_json_become_text(tmp_path):
    file = tmp_path / "x.jsonl"
    file.write_bytes(b'{"command_line": "a\xffb"}\n')
    assert table(file)["command_line"].to_pylist() == ["a\\xffb"]


def test_a_pipe_of_json_lines_is_recognised_and_streamed(monkeypatch):
    pipe(monkeypatch, b'{"command_line": "a", "n": 1}\n' * 5)
    assert [b.num_rows for b in open_lines("-", batch_rows=2)] == [2, 2, 1]


def test_a_pipe_whose_later_rows_have_new_keys_says_what_to_do(monkeypatch):
    pipe(monkeypatch, b'{"command_line": "a"}\n{"command_line": "b", "new": 1}\n')
    with pytest.raises(CmdclfError, match=r"row 2.*'new'.*Save the input as a file"):
        list(open_lines("-", batch_rows=1))


def test_a_shell_group_on_a_pipe_is_text_not_json(monkeypatch):
    pipe(monkeypatch, b"{ echo a; }\nls\n")
    lines = open_lines("-")
    assert lines.format == "text"
    assert [b.num_rows for b in lines] == [2]


def test_parquet_is_streamed_from_a_file_and_from_a_pipe(tmp_path, monkeypatch):
    file = tmp_path / "x.parquet"
    original = pa.table(
        {"n": pa.array([1, 2, 3], pa.int16()), "command_line": pa.array(["a", None, "c"]).dictionary_encode()}
    )
    pq.write_table(original, file)
    assert table(file, batch_rows=2).to_pylist() == original.to_pylist()
    pipe(monkeypatch, file.read_bytes())
    assert table("-").to_pylist() == original.to_pylist()
    (batch,) = open_lines(file)
    assert command_lines(batch).to_pylist() == ["a", None, "c"]
    assert parents(batch).to_pylist() == [None] * 3


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"cmd,host\nx,y\n", r"no column 'command_line' \(columns: cmd, host\)\. Rename"),
        ("a.csv", b"", r"the file is empty\. A CSV file needs a header"),
        ("a.csv", b"command_line,a\nx,y\nx\n", r"row 3: 1 fields where the header names 2\. Quote"),
        ("a.csv", b'command_line\n"x\n', r"row 2: not CSV"),
        ("a.csv", b"command_line,command_line\nx,y\n", r"'command_line' occurs twice"),
        ("a.jsonl", b'{"cmd": 1}\n', r"no column 'command_line' \(columns: cmd\)"),
        ("a.jsonl", b'{"command_line": "x"}\n{"command\n', r"row 2: not a JSON object"),
        ("a.jsonl", b"[1]\n", r"row 1: not a JSON object"),
        ("a.jsonl", b'{"command_line": ["ls", "-l"]}\n', r"row 1: 'command_line' is no text\. .*join argv"),
        ("a.jsonl", b'{"command_line": ' + b"[" * 100_000 + b"\n", r"row 1: not a JSON object: nested too deeply"),
        ("a.parquet", b"PAR1 but no more", r"not Parquet.*Check"),
        ("a.parquet", b"", r"not Parquet"),
        ("a.txt", "dir".encode("utf-16"), r"UTF-16.*iconv"),
        ("a.txt", b"x\n" + b"y" * (1 << 24) + b"\n", r"row 2: a line is longer than 16 MiB"),
    ],
)  # fmt: skip
def test_a_faulty_file_is_an_error_with_place_and_remedy(tmp_path, name, content, message):
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(CmdclfError, match=message) as caught:
        list(open_lines(file))
    assert str(file) in str(caught.value)


def test_parquet_without_the_column_names_those_it_has(tmp_path):
    pq.write_table(pa.table({"cmd": ["x"]}), tmp_path / "x.parquet")
    with pytest.raises(CmdclfError, match=r"columns: cmd"):
        open_lines(tmp_path / "x.parquet")


@pytest.mark.parametrize("extension", ["jsonl", "csv", "parquet", "txt"])
def test_a_failed_run_leaves_the_earlier_output_untouched(tmp_path, extension):
    file = tmp_path / f"out.{extension}"
    file.write_text("earlier")

    def run() -> None:
        with LinesWriter(file) as out:
            out.write(pa.record_batch({"command_line": ["x"]}))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run()
    assert [p.name for p in tmp_path.iterdir()] == [file.name]
    assert file.read_text() == "earlier"


def test_nested_columns_are_json_in_csv_and_lists_in_parquet(tmp_path):
    batch = pa.record_batch({"command_line": ["a,b\n"], "layers": [[{"kind": "k", "text": "t"}]], "score": [0.5]})
    for name in ("x.csv", "x.parquet"):
        with LinesWriter(tmp_path / name) as out:
            out.write(batch)
    assert table(tmp_path / "x.csv").to_pylist() == [
        {"command_line": "a,b\n", "layers": '[{"kind": "k", "text": "t"}]', "score": "0.5"}
    ]
    assert pq.read_table(tmp_path / "x.parquet").to_pylist() == batch.to_pylist()


def test_json_output_escapes_what_a_terminal_would_obey_and_has_no_nan(tmp_path):
    with LinesWriter(tmp_path / "x.jsonl") as out:
        out.write(pa.record_batch({"command_line": ["\x1b[2J\x9b1m\u202eé\x7f"], "score": [float("nan")]}))
    text = (tmp_path / "x.jsonl").read_text(encoding="utf-8")
    assert text == '{"command_line": "\\u001b[2J\\u009b1m\\u202eé\\u007f", "score": null}\n'
    assert json.loads(text)["command_line"] == "\x1b[2J\x9b1m\u202eé\x7f"


def test_text_output_shows_the_chosen_columns_one_row_a_line(tmp_path):
    with LinesWriter(tmp_path / "x.txt", text_columns=("score", "command_line", "absent")) as out:
        out.write(pa.record_batch({"command_line": ["a\tb\nc", None], "score": [0.5, 1.0]}))
    assert (tmp_path / "x.txt").read_text() == "0.5\ta\\tb\\nc\n1.0\t\n"


def test_an_output_name_without_a_format_says_which_ones_there_are(tmp_path):
    with pytest.raises(CmdclfError, match=r"End it in \.jsonl, \.csv"):
        LinesWriter(tmp_path / "result.xyz")


@pytest.mark.parametrize(
    ("argv", "input_name", "expected"),
    [
        ([], "a.txt", "jsonl"),
        ([], "a.csv", "csv"),
        ([], "a.jsonl", "jsonl"),
        (["--out-format", "text"], "a.csv", "text"),
        (["--out", "b.parquet"], "a.csv", "parquet"),
    ],
)
def test_the_output_format_follows_the_arguments_then_the_input(tmp_path, argv, input_name, expected):
    file = tmp_path / input_name
    file.write_text('{"command_line": "x"}\n' if "json" in input_name else "command_line\nx\n")
    parser = argparse.ArgumentParser()
    add_io_arguments(parser)
    args = parser.parse_args([str(file), *argv])
    assert open_writer(args, open_lines(args.file, args.format)).format == expected


def test_platforms_come_from_the_row_then_the_option_then_the_line():
    batch = pa.record_batch({"command_line": ["ls", "cmd.exe", None], "platform": ["MacOS ", "", "beos"]})
    assert platforms(batch).to_pylist() == ["macos", "windows", "linux"]
    assert platforms(batch, "windows").to_pylist() == ["macos", "windows", "windows"]
    assert platforms(batch.select(["command_line"]), "macos").to_pylist() == ["macos"] * 3


def test_an_added_column_replaces_one_of_its_name_in_place():
    batch = pa.record_batch({"score": ["old"], "command_line": ["x"]})
    assert with_columns(batch, score=pa.array([0.5]), verdict=pa.array(["benign"])).to_pylist() == [
        {"score": 0.5, "command_line": "x", "verdict": "benign"}
    ]


@pytest.mark.parametrize(
    ("column", "values"),
    [("command_line", [[1]]), ("command_line", [7]), ("platform", [1]), ("parent_command_line", [["x"]])],
)
def test_a_parquet_column_that_holds_no_text_is_named(tmp_path, column, values):
    file = tmp_path / "lines.parquet"
    pq.write_table(pa.table({"command_line": ["ls"]} | {column: values}), file)
    with pytest.raises(CmdclfError, match=f"the column '{column}' holds .*, not text") as caught:
        open_lines(file)
    assert caught.value.file == str(file)


def test_text_of_any_arrow_type_is_text(tmp_path):
    file = tmp_path / "lines.parquet"
    columns = {
        "command_line": pa.array([b"l\xff"], pa.large_binary()),
        "platform": pa.array(["linux"]).dictionary_encode(),
        "parent_command_line": pa.nulls(1),
    }
    pq.write_table(pa.table(columns), file)
    (batch,) = open_lines(file)
    assert [command_lines(batch)[0].as_py(), platforms(batch)[0].as_py(), parents(batch)[0].as_py()] == [
        "l\\xff", "linux", None,
    ]  # fmt: skip


def test_an_empty_csv_file_is_said_to_be_empty(tmp_path):
    file = tmp_path / "lines.csv"
    file.write_bytes(b"\xef\xbb\xbf")
    with pytest.raises(CmdclfError, match="the file is empty"):
        open_lines(file)


def test_a_json_array_is_refused_with_the_way_to_make_lines_of_it(tmp_path):
    file = tmp_path / "lines.json"
    file.write_text('[{"command_line": "ls"}]')
    with pytest.raises(CmdclfError, match=r"row 1: not a JSON object\. .*jq -c '\.\[\]'"):
        open_lines(file)


@pytest.mark.parametrize("name", ["o.csv", "o.jsonl", "o.parquet", "o.txt"])
def test_an_output_that_cannot_be_written_is_named_as_the_user_named_it(tmp_path, name):
    file = tmp_path / "missing" / name
    with pytest.raises(FileNotFoundError) as caught, LinesWriter(file):
        pass
    assert caught.value.filename == str(file)


_FULL = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
from cmdclf.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("name", ["o.csv", "o.jsonl", "o.parquet", "o.txt"])
def test_a_file_that_may_not_grow_is_named_and_what_stood_there_stays(tmp_path, name):
    """A limit on the size of files stands for a full disk: both refuse a write in the middle."""
    lines, out = tmp_path / "lines.txt", tmp_path / name
    lines.write_text("".join(f"{hashlib.sha256(str(n).encode()).hexdigest()}\n" for n in range(20_000)))
    # Compiled kernels are kept in files, which have to be there before none may grow.
    assert main(["redact", str(lines), "--out", str(tmp_path / f"warm {name}")]) == 0
    (tmp_path / f"warm {name}").unlink()
    out.write_text("what stood there")
    done = subprocess.run(
        [sys.executable, "-c", _FULL, "redact", str(lines), "--out", str(out)], capture_output=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.decode().startswith(f"cmdclf redact: {out}: File too large. ")
    assert out.read_text() == "what stood there"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["lines.txt", name]
