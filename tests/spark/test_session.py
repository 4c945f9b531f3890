"""What is missing is said in a sentence, and Spark's long texts become one."""

from __future__ import annotations

import subprocess
import sys
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdclf.cli import main
from cmdclf.spark import build_package, missing
from cmdclf.spark.faults import worker_message

ARGUMENTS = ["spark", "anomalies", "--lake", "lake", "--out", "out.parquet"]
FROM_A_WORKER = """An error occurred while calling o99.collectToPython.
: org.apache.spark.SparkException: Job aborted due to stage failure: Task 0 in stage 4.0 failed 4 times
org.apache.spark.api.python.PythonException: Traceback (most recent call last):
  File "worker.py", line 31, in g
    raise ValueError("bad line")
ValueError: bad line
\tat org.apache.spark.api.python.BasePythonRunner.handlePythonException(PythonRunner.scala:1097)
"""
FROM_JAVA = """An error occurred while calling o144.collectToPython.
: org.apache.spark.SparkException: [FAILED_READ_FILE.NO_HINT] Encountered error while reading file x.parquet.
\tat java.base/java.lang.Thread.run(Thread.java:840)
Caused by: java.lang.RuntimeException: x.parquet is not a Parquet file
\t... 24 more
"""


@pytest.mark.parametrize("home", [None, "/no/such/java"])
def test_a_machine_without_java_is_told_what_to_install(monkeypatch, tmp_path, capsys, home):
    pytest.importorskip("pyspark")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    if home:
        monkeypatch.setenv("JAVA_HOME", home)
    assert main(ARGUMENTS) == 2
    said = capsys.readouterr().err
    assert "Install Java 17 or newer, and let JAVA_HOME name its folder" in said
    assert (home or "Spark needs Java, which is not installed") in said
    assert missing() in said
    assert not list(tmp_path.iterdir())


def test_a_machine_without_pyspark_is_told_the_extra(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "pyspark", None)
    assert main(ARGUMENTS) == 2
    assert "pip install 'cmdclf[spark]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--top", "0"], "--top is 0. Give a number of at least 1"),
        (["--partitions", "-1"], "--partitions is -1"),
        (["--conf", "spark.driver.memory"], "Write it as KEY=VALUE"),
    ],
)
def test_wrong_arguments_are_explained_before_spark_starts(monkeypatch, tmp_path, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert main([*ARGUMENTS, *arguments]) == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (FROM_A_WORKER, "ValueError: bad line"),
        (FROM_JAVA, "RuntimeException: x.parquet is not a Parquet file"),
        (FROM_JAVA.split("Caused")[0], "SparkException: [FAILED_READ_FILE.NO_HINT] Encountered error while reading "
         "file x.parquet."),
        ("[PATH_NOT_FOUND] Path does not exist: x\nmore", "[PATH_NOT_FOUND] Path does not exist: x"),
        ("", "no reason given"),
    ],
)  # fmt: skip
def test_the_line_that_says_what_happened_is_found(text, line):
    assert worker_message(text) == line


@given(st.text())
def test_any_text_becomes_one_short_line(text):
    line = worker_message(text)
    assert len(line) < 450
    assert "\n" not in line


def test_the_package_is_the_same_bytes_and_runs_from_the_zip(tmp_path):
    archive = build_package(tmp_path / "a.zip")
    assert archive.read_bytes() == build_package(tmp_path / "b.zip").read_bytes()
    names = zipfile.ZipFile(archive).namelist()
    assert {"cmdclf/__init__.py", "cmdclf/spark/workers.py", "cmdclf/_data/rules/behaviours.toml"} <= set(names)
    assert not [name for name in names if name.startswith("cmdclf/_data") and "/rules/" not in name]
    code = (
        "import sys, pathlib; sys.path.insert(0, 'a.zip')\n"
        "import cmdclf.spark.workers\nfrom cmdclf.features import FeatureMaker\n"
        "assert 'a.zip' in cmdclf.__file__ and 'pyspark' not in sys.modules\n"
        "print(len(FeatureMaker().feature_names))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert int(done.stdout) > 100
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip", "b.zip"]


def test_the_verb_for_packages_needs_neither_spark_nor_java(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "pyspark", None)
    assert main(["spark", "package", "--out", str(tmp_path / "cmdclf.zip")]) == 0
    assert "libraries are not in it" in capsys.readouterr().out
