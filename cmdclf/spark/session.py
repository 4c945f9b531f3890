"""A Spark session: the one that is there, or a new one with settings that suit this work."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from cmdclf.errors import CmdclfError, MissingExtraError
from cmdclf.spark.faults import translated
from cmdclf.spark.package import build_package

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["missing", "settings", "spark_session"]

#: A Spark inside this process and on this machine must not look for it by its name in a network, nor open a web page.
_LOCAL = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "OFF",  # what fails is told by us, in a sentence
}
#: Where one of these is set, the master may come from spark-submit or from files of settings.
_ELSEWHERE = ("PYSPARK_GATEWAY_PORT", "PYSPARK_SUBMIT_ARGS", "SPARK_HOME", "SPARK_CONF_DIR")


def missing() -> str:
    """What Spark lacks on this machine, in words, or "" if it can be used."""
    try:
        _require()
    except CmdclfError as error:
        return str(error)
    return ""


def _require() -> None:
    for package in ("pyspark", "py4j", "pandas"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError("spark", "Spark")
    home = os.environ.get("JAVA_HOME")
    if not shutil.which(str(Path(home) / "bin" / "java") if home else "java"):
        raise CmdclfError(
            f"JAVA_HOME is {home}, where there is no bin/java" if home else "Spark needs Java, which is not installed",
            remedy="Install Java 17 or newer, and let JAVA_HOME name its folder",
        )


@contextmanager
def spark_session(master: str | None = None, conf: Mapping[str, str] | None = None) -> Iterator[SparkSession]:
    """A session for one job; it is stopped at the end unless it was there before.

    Where the master is not this machine, this package is sent to the executors.

    Args:
        master: URL, e.g. `local[2]` or `yarn`; by default what spark-submit or Spark's own configuration says, and
            all cores of this machine where they say nothing.
        conf: further Spark settings.

    Raises:
        MissingExtraError: pyspark is not installed.
        CmdclfError: Java is not installed.
        SparkJobError: Spark did not start.
    """
    _require()
    # The workers of a local Spark are to run in this environment, not in the first python3 of the PATH.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    from pyspark.sql import SparkSession

    found = SparkSession.getActiveSession()
    with translated("to start"):
        spark = found or _started(master, dict(conf or {}))
    try:
        with TemporaryDirectory(prefix="cmdclf-") as folder:
            if found is None and not _is_local(spark.sparkContext.master):
                with translated("to send this package to its executors"):
                    spark.sparkContext.addPyFile(str(build_package(Path(folder) / "cmdclf.zip")))
            yield spark
    finally:
        if found is None:
            spark.stop()


def _started(master: str | None, conf: dict[str, str]) -> SparkSession:
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.appName("cmdclf")
    if master is not None:
        builder = builder.master(master)
    given = master or conf.get("spark.master")
    if given is None and not any(name in os.environ for name in _ELSEWHERE):
        given = "local[*]"  # as Spark does, but with settings for it
    defaults = _LOCAL if given is not None and _is_local(given) else {}
    for key, value in {**defaults, **conf}.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def _is_local(master: str) -> bool:
    return master == "local" or master.startswith("local[")


@contextmanager
def settings(spark: SparkSession, values: Mapping[str, object]) -> Iterator[None]:
    """Settings of the session for the time of a job."""
    before = {key: spark.conf.get(key, None) for key in values}
    for key, value in values.items():
        spark.conf.set(key, str(value))
    try:
        yield
    finally:
        for key, old in before.items():
            if old is None:
                spark.conf.unset(key)
            else:
                spark.conf.set(key, old)
