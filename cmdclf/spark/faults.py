"""Spark's errors as one sentence: what the worker said, without the stack of the machine that passed it on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from cmdclf.errors import CmdclfError, MissingExtraError

__all__ = ["SparkJobError", "translated", "worker_message"]

_LONGEST = 400
#: How a Python traceback ends (`ValueError: no such column`), and how a Java one names a cause.
_PYTHON_ERROR = re.compile(r"^([A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Warning|Exit)\b(?:: .*)?)$", re.MULTILINE)
_JAVA_CAUSE = re.compile(r"^Caused by: (?:[\w.$]+\.)?([\w$]+(?:: .*)?)$", re.MULTILINE)
_JAVA_FIRST = re.compile(r"^:? ?(?:[a-z][\w$]*\.)+([A-Z][\w$]*: .*)$", re.MULTILINE)

_REMEDIES = (
    ("ModuleNotFoundError", "Install it where the executors run, or ship it to them: see docs/spark.md"),
    ("OutOfMemory", "Give Spark more memory, e.g. --conf spark.driver.memory=4g (spark.executor.memory on a cluster)"),
    ("memory", "Give Spark more memory, e.g. --conf spark.driver.memory=4g (spark.executor.memory on a cluster)"),
    ("No space left", "Free some disk, or name another with --conf spark.local.dir=DIR"),
    ("maxResultSize", "Ask for fewer rows, or raise it with --conf spark.driver.maxResultSize=4g"),
    ("JAVA_GATEWAY_EXITED", "Java's own message stands above; Spark 4 needs Java 17 or newer, which JAVA_HOME names"),
    ("PATH_ALREADY_EXISTS", "Remove it, or name another with --out"),
)


class SparkJobError(CmdclfError):
    """Spark did not start, or a job of it failed."""


def worker_message(text: str) -> str:
    """The one line of Spark's text that says what happened."""
    for pattern in (_PYTHON_ERROR, _JAVA_CAUSE, _JAVA_FIRST):
        found = pattern.findall(text)
        if found:
            return _short(found[-1])
    lines = [line for line in text.splitlines() if line.strip()]
    return _short(lines[0]) if lines else "no reason given"


def _short(line: str) -> str:
    line = line.strip()
    return line if len(line) <= _LONGEST else line[:_LONGEST] + " ..."


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Errors of pyspark and of its bridge to Java become a SparkJobError.

    Args:
        doing: what is tried, after "Spark failed", e.g. `while it scored the lines`.
    """
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException, PySparkImportError

    try:
        yield
    except PySparkImportError as error:
        raise MissingExtraError("spark", f"Spark ({worker_message(str(error))})") from error
    except (PySparkException, Py4JError) as error:
        text = str(error)
        said = worker_message(text)
        remedy = next((cure for sign, cure in _REMEDIES if sign in said or sign in text[:2000]), "")
        raise SparkJobError(f"Spark failed {doing}: {said}", remedy=remedy) from error
    except ConnectionError as error:
        raise SparkJobError(
            f"Spark's Java process has gone {doing}",
            remedy="It may have lacked memory: give it more with --conf spark.driver.memory=4g",
        ) from error
