from __future__ import annotations

import io
import logging

import pytest

pytest.importorskip("bentoml", reason="needs the extra 'service'")

from service.quiet import WithoutMessages


def logged(write) -> str:
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.addFilter(WithoutMessages())
    logger = logging.getLogger("tests.service.quiet")
    logger.propagate = False
    logger.addHandler(handler)
    try:
        write(logger)
    finally:
        logger.removeHandler(handler)
    return out.getvalue()


def test_an_exception_is_logged_by_kind_and_place_without_its_message():
    def write(logger):
        try:
            raise ValueError("curl -u admin:hunter2 http://192.0.2.1")
        except ValueError:
            logger.exception("Exception on %s [%s]", "/score", "POST")

    text = logged(write)
    assert "Exception on /score [POST] [ValueError at test_quiet.py:" in text
    assert "hunter2" not in text
    assert text.count("\n") == 1


def test_other_records_pass_unchanged():
    assert logged(lambda logger: logger.warning("%d workers", 3)) == "3 workers\n"
