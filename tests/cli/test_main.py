from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from cmdclf import __version__
from cmdclf.cli import VERBS, main
from cmdclf.errors import CmdclfError

HEAVY = ("numpy", "pyarrow", "duckdb", "sklearn", "numba", "onnxruntime", "openai", "usearch", "tokenizers", "torch")


def program(*arguments, **options) -> subprocess.CompletedProcess:
    """The real program, with buffered output as on a user's machine."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.run([sys.executable, "-m", "cmdclf", *arguments], check=False, env=environment, **options)


def test_help_lists_every_verb_and_imports_no_heavy_module():
    code = (
        "import sys, json\nfrom cmdclf.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    page, _, modules = done.stdout.rstrip().rpartition("\n")
    assert all(f"    {verb}" in page for verb in VERBS)
    assert not set(HEAVY) & set(json.loads(modules))


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb, capsys):
    with pytest.raises(SystemExit) as end:
        main([verb, "--help"])
    assert end.value.code == 0
    assert f"cmdclf {verb}" in capsys.readouterr().out


def test_the_version_is_printed(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"cmdclf {__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["no-verb"], ["score", "--threads", "many"], ["label"]])
def test_arguments_that_cannot_be_understood_end_with_exit_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert "usage: cmdclf" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["\x1b[31m"], ["score", "a", "\x1b]0;b\x07"], ["rules", "run", "\x1b", "\x1b"]])
def test_a_file_name_that_steers_terminals_is_escaped_in_usage_errors(arguments, capsys):
    with pytest.raises(SystemExit):
        main(arguments)
    err = capsys.readouterr().err
    assert "\\x1b" in err
    assert "\x1b" not in err


def test_a_users_fault_is_one_sentence_and_a_traceback_only_with_debug(tmp_path, capsys):
    file = tmp_path / "lines.csv"
    file.write_text("what\nls\n")
    assert main(["redact", str(file)]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"cmdclf redact: {file}: there is no column 'command_line'")
    assert err.count("\n") == 1
    with pytest.raises(CmdclfError):
        main(["--debug", "redact", str(file)])
    with pytest.raises(CmdclfError):
        main(["redact", str(file), "--debug"])


def test_what_a_file_says_cannot_steer_the_terminal_through_a_message(tmp_path, capsys):
    file = tmp_path / "lines.csv"
    file.write_bytes(b"\x1b[2Jcolumn,\xe2\x80\xaexcod\nls,1\n")
    assert main(["redact", str(file)]) == 2
    err = capsys.readouterr().err
    assert "\\x1b[2Jcolumn, \\u202excod" in err
    assert err.rstrip("\n").isprintable()


def test_a_reader_that_goes_away_is_no_fault(tmp_path):
    file = tmp_path / "lines.txt"
    file.write_text("ls\n" * 50_000)
    for arguments in (["redact", str(file)], ["rules", "check"], ["--help"]):
        read, write = os.pipe()
        os.close(read)
        done = program(*arguments, stdout=write)
        os.close(write)
        assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs the device that is always full")
@pytest.mark.parametrize("arguments", [["--version"], ["rules", "check"], ["redact"]])
def test_a_full_disk_behind_standard_output_is_one_sentence_and_exit_code_2(arguments):
    with open("/dev/full", "wb") as full:
        done = program(*arguments, stdout=full, stdin=None, input=b"ls\n")
    assert done.returncode == 2
    err = done.stderr.decode()
    assert "No space left on device. The disk is full" in err
    assert err.count("\n") == 1


def test_closed_standard_streams_are_named():
    for closed, said in (
        ("0<&-", "standard input: it is closed"),
        ("0</dev/null 1>&-", "standard output: it is closed"),
    ):
        done = subprocess.run(
            ["sh", "-c", f'exec "$0" -m cmdclf redact {closed}', sys.executable], capture_output=True, check=False
        )
        assert done.returncode == 2
        assert said in done.stderr.decode()
