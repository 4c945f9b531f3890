"""Which stages are finished with which settings, and the record of models and runs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import pyarrow as pa

from cmdclf.store.database import Database, _translated
from cmdclf.store.schema import MODELS, RUNS, STAGES

__all__ = ["Stage", "Stages"]

_KEY = "stage = $stage and day is not distinct from $day"


@dataclass(slots=True)
class Stage:
    """One stage under way. If `done`, it was finished before with these settings, and the body should skip its work.

    Set `rows` and `detail` to what the record should say; of a stage that is done they hold what it says.
    """

    done: bool
    rows: int | None = None
    detail: dict[str, Any] = field(default_factory=dict)


class Stages(Database):
    """The tables `stage`, `model` and `run`."""

    @contextmanager
    def stage(self, stage: str, day: date | None = None, *, settings: str, replaces: bool = False) -> Iterator[Stage]:
        """A transaction for one stage: its writes and the record that it is finished are committed together.

        An exception or a killed process leaves neither, so the next run does the stage again.

        Args:
            stage: its name.
            day: the day that it works on, or None.
            settings: hash of everything that its result depends on.
            replaces: finishing forgets that the stage was done with other settings. For stages whose writes replace
                each other whatever the settings, such as `add_day`: otherwise going back to earlier settings would
                look done although the store holds the result of the later ones.
        """
        key = {"stage": stage, "day": day}
        begin = time.monotonic()
        with self.transaction():
            with _translated(self.path):
                found = self._main.execute(
                    f"select rows, detail from stage where {_KEY} and settings = $settings",  # noqa: S608
                    {**key, "settings": settings},
                ).fetchall()
            state = Stage(True, found[0][0], json.loads(found[0][1])) if found else Stage(False)
            yield state
            if state.done:
                return
            if replaces:
                self._run(f"delete from stage where {_KEY}", key)  # noqa: S608
            self._run(
                "insert into stage values ($day, $stage, $settings, $at, $rows, $seconds, $detail)",
                {
                    **key,
                    "settings": settings,
                    "at": self._clock(),
                    "rows": state.rows,
                    "seconds": time.monotonic() - begin,
                    "detail": _canonical(state.detail),
                },
            )

    def stages(self) -> pa.Table:
        """STAGES: every finished stage, by day (those without a day last), stage, settings; `detail` is JSON."""
        return self._table("select * from stage order by day nulls last, stage, settings", STAGES)

    def forget_stage(self, stage: str, day: date | None = None) -> None:
        """Have the stage done again next time, with whatever settings; its results stay until then."""
        with self.transaction():
            self._run(f"delete from stage where {_KEY}", {"stage": stage, "day": day})  # noqa: S608

    def put_model(self, name: str, manifest: Mapping[str, Any]) -> None:
        """Record a model's manifest; an earlier one of that name stays in `models()`."""
        with self.transaction():
            self._run(
                "insert into model values ($name, $at, $manifest)",
                {"name": name, "at": self._clock(), "manifest": _canonical(manifest)},
            )

    def models(self) -> pa.Table:
        """MODELS: every recorded manifest (JSON), by name, oldest first."""
        return self._table("select * from model order by name, stored_at", MODELS)

    def put_run(self, study: str, *, settings: str, started_at: datetime, detail: Mapping[str, Any]) -> int:
        """The number of the run recorded: which study, with which settings, from when to now."""
        with self.transaction():
            return int(
                self._value(
                    "insert into run(study, settings, started_at, finished_at, detail)"
                    " values ($study, $settings, $started_at, $at, $detail) returning run",
                    {
                        "study": study,
                        "settings": settings,
                        "started_at": started_at,
                        "at": self._clock(),
                        "detail": _canonical(detail),
                    },
                )
            )

    def runs(self) -> pa.Table:
        """RUNS: every recorded run, oldest first; `detail` is JSON."""
        return self._table("select * from run order by run", RUNS)


def _canonical(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
