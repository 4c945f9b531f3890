"""One local Spark for all tests of this folder; they are skipped, with a line that says so, where there is none."""

from __future__ import annotations

import pytest

from cmdclf.spark import missing, spark_session

MISSING = missing()


def pytest_terminal_summary(terminalreporter):
    if MISSING:
        terminalreporter.write_line(f"The tests on Spark were skipped: {MISSING}.")


@pytest.fixture(scope="session")
def spark():
    if MISSING:
        pytest.skip(MISSING)
    with spark_session("local[2]", {"spark.driver.memory": "1g", "spark.sql.shuffle.partitions": "3"}) as session:
        yield session
