import hashlib
import json
import subprocess
import sys

from cmdclf.cli import main

GOOD = {"command_line": "ls -l", "platform": "linux", "event_time": "2024-03-05T12:00:00Z"}


def test_one_row_of_counts_per_file_and_the_same_as_json(tmp_path, capsys):
    log = tmp_path / "a.jsonl"
    log.write_text(json.dumps(GOOD) + "\n" + json.dumps({**GOOD, "command_line": " "}) + "\noops\n")
    code = main(["ingest", str(log), "--lake", str(tmp_path / "lake"), "--json", str(tmp_path / "r.json")])
    out = capsys.readouterr().out
    assert code == 0
    row = next(line for line in out.splitlines() if line.startswith("a.jsonl"))
    assert row.split() == ["a.jsonl", "jsonl", "3", "1", "1", "1", "2024-03-05"]
    assert "skipped 1: no command line" in out
    assert "quarantined 1: no valid JSON" in out
    (report,) = json.loads((tmp_path / "r.json").read_text())["files"]
    assert report["read"] == report["written"] + sum(report["skipped"].values()) + report["quarantined"] == 3
    assert report["days"] == {"2024-03-05": 1}


def test_an_unreadable_file_is_reported_at_the_end_with_exit_code_2_and_the_others_are_kept(tmp_path, capsys):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.bin").write_bytes(bytes(range(256)) * 20)
    (tmp_path / "logs" / "b.jsonl").write_text(json.dumps(GOOD))
    code = main(["ingest", str(tmp_path / "logs"), str(tmp_path / "gone.csv"), "--lake", str(tmp_path / "lake")])
    captured = capsys.readouterr()
    assert code == 2
    assert "b.jsonl" in captured.out
    assert "a.bin: the file is binary data of no known format" in captured.err
    assert "gone.csv: the file can't be opened" in captured.err
    assert (tmp_path / "lake" / "day=2024-03-05").is_dir()


def test_mapping_platform_and_day_reach_the_reader(tmp_path, capsys):
    log = tmp_path / "a.csv"
    log.write_text("what,who\nmake all,ada\n")
    options = ["--map", "command_line=what", "--map", "user=who", "--platform", "linux", "--day", "2024-03-05"]
    assert main(["ingest", str(log), "--lake", str(tmp_path / "lake"), *options]) == 0
    assert main(["ingest", str(log), "--lake", str(tmp_path / "lake"), *options]) == 0
    assert "(replaced)" in capsys.readouterr().out


def test_wrong_arguments_end_with_exit_code_2_and_a_remedy(tmp_path, capsys):
    log = tmp_path / "a.jsonl"
    log.write_text(json.dumps(GOOD))
    for options, words in (
        (["--map", "command_line"], "has no '='"),
        (["--map", "x=y"], "no column 'x'"),
        (["--day", "tomorrow"], "YYYY-MM-DD"),
        (["--platform", "beos"], "windows, linux, macos"),
        (["--format", "xml"], "windows_event"),
    ):
        assert main(["ingest", str(log), "--lake", str(tmp_path / "lake"), *options]) == 2
        assert words in capsys.readouterr().err


def test_a_folder_without_files_is_an_error(tmp_path, capsys):
    (tmp_path / "logs").mkdir()
    assert main(["ingest", str(tmp_path / "logs"), "--lake", str(tmp_path / "lake")]) == 2
    assert "no file" in capsys.readouterr().err


def test_control_characters_of_a_log_do_not_reach_the_terminal(tmp_path, capsys):
    log = tmp_path / "a.csv"
    log.write_text("\x1b[2Jevil,other\n1,2\n")
    assert main(["ingest", str(log), "--lake", str(tmp_path / "lake")]) == 2
    assert "\x1b" not in capsys.readouterr().err


def test_a_lake_that_is_a_file_is_named_and_left_alone(tmp_path, capsys):
    log, lake = tmp_path / "a.jsonl", tmp_path / "lake"
    log.write_text(json.dumps(GOOD))
    lake.write_text("not a lake")
    assert main(["ingest", str(log), "--lake", str(lake)]) == 2
    err = capsys.readouterr().err
    assert str(lake) in err
    assert "A folder is needed here" in err
    assert lake.read_text() == "not a lake"


FULL = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
from cmdclf.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_disk_that_takes_no_more_leaves_the_lake_as_it_was(tmp_path, capsys):
    """A limit on the size of files stands for a full disk: both refuse a write in the middle."""
    small, large, lake = tmp_path / "a.jsonl", tmp_path / "b.jsonl", tmp_path / "lake"
    small.write_text(json.dumps(GOOD))
    assert main(["ingest", str(small), "--lake", str(lake)]) == 0
    before = {p: p.read_bytes() for p in lake.rglob("*") if p.is_file()}
    lines = (hashlib.sha256(str(n).encode()).hexdigest() for n in range(5000))
    large.write_text("\n".join(json.dumps({**GOOD, "command_line": line}) for line in lines))
    command = [sys.executable, "-c", FULL, "ingest", str(large), "--lake", str(lake)]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 2
    assert "File too large" in done.stderr.decode()
    assert str(lake) in done.stderr.decode()
    assert {p: p.read_bytes() for p in lake.rglob("*") if p.is_file()} == before
