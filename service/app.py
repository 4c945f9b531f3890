"""The BentoML service: `POST /score` and `POST /explain`, `/livez`, `/readyz`, `/metrics`, `/docs.json`.

Settings come from the environment: CMDCLF_MODEL (model folder), CMDCLF_TOKEN (bearer token; without one only this
machine is served), CMDCLF_THREADS (of onnxruntime, default 1). docs/service.md describes the rest.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any

# A bento's src/ holds cmdclf beside service/, and may be served without being installed.
_ROOT = Path(__file__).resolve().parent.parent
if (_ROOT / "cmdclf" / "__init__.py").is_file() and str(_ROOT) not in sys.path:
    sys.path.insert(0, str(_ROOT))

# No usage events to the vendor, no spans that nobody collects (they cost a third of the throughput).
os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
os.environ.setdefault("OTEL_SDK_DISABLED", "true")

import bentoml  # noqa: E402
import click  # noqa: E402
from bentoml.exceptions import BentoMLException, ServiceUnavailable  # noqa: E402
from pydantic import WithJsonSchema  # noqa: E402
from threadpoolctl import threadpool_limits  # noqa: E402

from .entries import ENTRIES_SCHEMA, MAX_EXPLAINED, MAX_LINES, BadEntries, to_batch  # noqa: E402
from .gate import Gate, checked  # noqa: E402
from .metrics import Metrics  # noqa: E402
from .quiet import quieten  # noqa: E402

MAX_BODY_BYTES = 8 << 20
MAX_REQUESTS = 32
TIMEOUT_S = 10
THREADS = 4

_OPEN_PATHS = frozenset({"/livez", "/readyz", "/healthz"})
_METRICS = Metrics()

Lines = Annotated[Any, WithJsonSchema(ENTRIES_SCHEMA)]


class BadRequest(BentoMLException):
    """The lines can't be scored; reaches only who calls the service's methods, the gate checks requests before."""

    error_code = HTTPStatus.BAD_REQUEST


def model_dir() -> Path:
    """The model folder to serve: $CMDCLF_MODEL, else `model/` beside the service (so in a bento), else the default.

    Raises:
        ModelIntegrityError: there is none.
    """
    from cmdclf.classify import default_model_dir

    beside = _ROOT / "model"
    if not os.environ.get("CMDCLF_MODEL") and (beside / "manifest.json").is_file():
        return beside
    return default_model_dir()


def _batch(lines: Any, most: int) -> Any:
    """The batch that the gate has made of the request, or of `lines` where there was no request."""
    received = checked.get()
    if received is not None:
        return received
    try:
        return to_batch(lines, most)
    except BadEntries as error:
        raise BadRequest(str(error)) from None


@bentoml.service(
    name="cmdclf",
    workers=1,
    threads=THREADS,
    # A short timeout: BentoML keeps each request's timer, and with it the request, until it fires.
    traffic={"timeout": TIMEOUT_S},
    # The access log holds no bodies, but paths, and says nothing that our metrics don't.
    logging={"access": {"enabled": False}},
    metrics={"enabled": False},
)
class CmdClf:
    """Scores command lines with an exported cmdclf model."""

    def __init__(self) -> None:
        from cmdclf.classify import Scorer
        from cmdclf.errors import CmdclfError

        quieten()
        try:
            self.scorer = Scorer.load(model_dir(), threads=int(os.environ.get("CMDCLF_THREADS", "1")))
        except CmdclfError as error:
            logging.getLogger("bentoml.cmdclf").error("The model can't be served: %s", error)
            raise
        # OpenBLAS lets its threads spin for some 50 ms after each product, a core's worth per request; the embedding's
        # products are small.
        threadpool_limits(1, user_api="blas")
        # A request that ran into the time limit keeps its thread, but BentoML counts it as gone.
        self._slots = threading.BoundedSemaphore(2 * THREADS)
        # Compile the kernels and build the automata now, not in the first request.
        warm = to_batch(["whoami /all", {"command_line": "ls -la", "platform": "linux"}])
        self.scorer.score(warm)
        self.scorer.explain(warm)
        # What stands now stays: the collector need not walk it, which keeps the slowest requests fast.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)

    @bentoml.api(route="/score")
    def score(self, lines: Lines) -> dict[str, Any]:
        """Scores (0..1) and verdicts, one per line and in their order.

        `lines` holds 1 to 1,000 texts or objects with `command_line` and, where known, `platform` (windows, linux,
        macos) and `parent_command_line`.
        """
        with self._slot():
            scored = self.scorer.score(_batch(lines, MAX_LINES))
            return self._results(scored.select(["score", "verdict"]).to_pylist())

    @bentoml.api(route="/explain")
    def explain(self, lines: Lines) -> dict[str, Any]:
        """What `/score` says, and why: spans, decoded layers, checks, labelled lines like it; for at most 100 lines."""
        with self._slot():
            batch = _batch(lines, MAX_EXPLAINED)
            scored = self.scorer.score(batch).select(["score", "verdict"]).to_pylist()
            explained = self.scorer.explain(batch).to_pylist()
            return self._results([a | b for a, b in zip(scored, explained, strict=True)])

    def _results(self, results: list[dict[str, Any]]) -> dict[str, Any]:
        _METRICS.verdicts(Counter(row["verdict"] for row in results).items())
        return {"model": self.scorer.model, "results": results}

    @contextmanager
    def _slot(self) -> Iterator[None]:
        if not self._slots.acquire(blocking=False):
            raise ServiceUnavailable("too many requests are being scored, try again later")
        try:
            yield
        finally:
            self._slots.release()


def _refuse_early() -> None:
    """Stop `bentoml serve` itself when the model is damaged: its supervisor would restart the worker for ever."""
    command = click.get_current_context(silent=True)
    if command is None or command.info_name != "serve":
        return
    from cmdclf.classify import verify_model
    from cmdclf.errors import CmdclfError

    try:
        verify_model(model_dir())
    except CmdclfError as error:
        raise BentoMLException(f"The model can't be served: {error}") from None


_refuse_early()
CmdClf.add_asgi_middleware(
    Gate,
    metrics=_METRICS,
    checks={"/score": partial(to_batch, most=MAX_LINES), "/explain": partial(to_batch, most=MAX_EXPLAINED)},
    token=os.environ.get("CMDCLF_TOKEN", "").strip() or None,
    max_body_bytes=MAX_BODY_BYTES,
    max_requests=MAX_REQUESTS,
    open_paths=_OPEN_PATHS,
)
