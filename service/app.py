"""The BentoML service: `POST /score` for 1 to 1,000 command lines, `/livez`, `/readyz`, `/metrics`, `/docs.json`.

Settings come from the environment: CMDCLF_MODEL (model folder), CMDCLF_TOKEN (bearer token; without one only this
machine is served), CMDCLF_THREADS (of onnxruntime, default 1).
"""

from __future__ import annotations

import gc
import logging
import os
import sys
from http import HTTPStatus
from pathlib import Path
from typing import Any

# A bento's src/ holds cmdclf beside service/, and may be served without being installed.
_ROOT = Path(__file__).resolve().parent.parent
if str(_ROOT) not in sys.path and (_ROOT / "cmdclf" / "__init__.py").is_file():
    sys.path.insert(0, str(_ROOT))

os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
os.environ.setdefault("OTEL_SDK_DISABLED", "true")

import bentoml  # noqa: E402
import pyarrow as pa  # noqa: E402
from bentoml.exceptions import BentoMLException  # noqa: E402

if __package__:
    from .gate import Gate, WithoutTracebacks
else:
    from gate import Gate, WithoutTracebacks  # type: ignore[no-redef]

MAX_LINES = 1000
MAX_LINE_BYTES = 1 << 20
MAX_BODY_BYTES = 8 << 20
TIMEOUT_S = 10
PLATFORMS = ("windows", "linux", "macos")
_OPEN_PATHS = frozenset({"/livez", "/readyz", "/healthz"})


class BadRequest(BentoMLException):
    """What the caller sent can't be scored; the message never holds any of it."""

    error_code = HTTPStatus.BAD_REQUEST


def _settings() -> dict[str, Any]:
    return {
        "name": "cmdclf",
        "workers": 1,
        "threads": 4,
        # A short timeout: BentoML keeps each request's timer, and so the request, until it fires.
        "traffic": {"timeout": TIMEOUT_S, "max_concurrency": 32},
        # The access log holds no bodies, but says nothing that /metrics doesn't.
        "logging": {"access": {"enabled": False}},
    }


def read_lines(lines: Any) -> pa.RecordBatch:
    """The request's lines as a batch, checked by hand: a validation library would log what it refuses.

    Raises:
        BadRequest: says which line is wrong and how.
    """
    if not isinstance(lines, list) or not 1 <= len(lines) <= MAX_LINES:
        raise BadRequest(f"'lines' must be a list of 1 to {MAX_LINES} entries")
    columns: dict[str, list[str | None]] = {"command_line": [], "platform": [], "parent_command_line": []}
    for number, entry in enumerate(lines, 1):
        record = {"command_line": entry} if isinstance(entry, str) else entry
        if not isinstance(record, dict):
            raise BadRequest(f"line {number}: must be a text or an object with 'command_line'")
        for name, values in columns.items():
            values.append(_text(record.get(name), name, number))
        if columns["command_line"][-1] is None:
            raise BadRequest(f"line {number}: 'command_line' is missing")
        if columns["platform"][-1] not in (*PLATFORMS, None):
            raise BadRequest(f"line {number}: 'platform' must be one of {', '.join(PLATFORMS)}")
    from cmdclf.lines import guess_platform

    line = pa.array(columns["command_line"], pa.string())
    given = pa.array(columns["platform"], pa.string())
    platform = given.fill_null("") if not given.null_count else pa.compute.coalesce(given, guess_platform(line))
    parent = pa.array(columns["parent_command_line"], pa.string())
    return pa.record_batch({"command_line": line, "platform": platform, "parent_command_line": parent})


def _text(value: Any, name: str, number: int) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise BadRequest(f"line {number}: '{name}' must be a text")
    from cmdclf.telemetry import clean_text

    text = clean_text(value)
    if len(text.encode()) > MAX_LINE_BYTES:
        raise BadRequest(f"line {number}: '{name}' is longer than {MAX_LINE_BYTES} bytes")
    return text


@bentoml.service(**_settings())
class CmdClf:
    """Scores command lines with the model folder that CMDCLF_MODEL names."""

    def __init__(self) -> None:
        from cmdclf.classify import Scorer, default_model_dir

        bundled = _ROOT / "model"
        named = os.environ.get("CMDCLF_MODEL")
        folder = Path(named) if named else bundled if (bundled / "manifest.json").is_file() else default_model_dir()
        self.scorer = Scorer.load(folder, threads=int(os.environ.get("CMDCLF_THREADS", "1")))
        # Compile the kernels and build the automata now, not in the first request.
        self.scorer.score(read_lines(["whoami /all", {"command_line": "ls -la", "platform": "linux"}]))
        # What stands now stays: the collector need not walk it, which keeps the slowest requests fast.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)

    @bentoml.api(route="/score")
    def score(self, lines: Any) -> dict[str, Any]:
        """Scores (0..1) and verdicts, one per line and in their order.

        `lines` holds 1 to 1,000 texts or objects with `command_line` and, where known, `platform` (windows, linux,
        macos) and `parent_command_line`.
        """
        scored = self.scorer.score(read_lines(lines))
        scores = scored.column("score").to_pylist()
        verdicts = scored.column("verdict").to_pylist()
        return {
            "model": self.scorer.name,
            "results": [{"score": s, "verdict": v} for s, v in zip(scores, verdicts, strict=True)],
        }

    @bentoml.api(route="/explain")
    def explain(self, lines: Any) -> dict[str, Any]:
        """What `score` says, with the decoded layers and the checks that fired, for at most 100 lines."""
        batch = read_lines(lines)
        if batch.num_rows > 100:
            raise BadRequest("explain takes at most 100 lines")
        scored = self.scorer.score(batch).select(["score", "verdict"]).to_pylist()
        explained = self.scorer.explain(batch).to_pylist()
        return {"model": self.scorer.name, "results": [a | b for a, b in zip(scored, explained, strict=True)]}


CmdClf.add_asgi_middleware(
    Gate, token=os.environ.get("CMDCLF_TOKEN") or None, max_body_bytes=MAX_BODY_BYTES, open_paths=_OPEN_PATHS
)
logging.getLogger("bentoml.serve").addFilter(WithoutTracebacks())
