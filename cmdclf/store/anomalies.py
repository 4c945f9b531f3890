"""Anomalies per day, scale and detector, and the near-duplicate groups among them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import pyarrow as pa

from cmdclf.store.database import Database
from cmdclf.store.schema import ANOMALIES, DETECTED, GROUPED, GROUPS, checked

__all__ = ["AnomalyTables"]


class AnomalyTables(Database):
    """The tables `anomaly` and `near_group`."""

    def put_anomalies(self, day: date, scale: str, settings: str, table: pa.Table) -> None:
        """Replace what is stored of this day, scale and settings.

        Args:
            day: the day whose lines were scored.
            scale: full or reduced.
            settings: hash of everything that the scores depend on.
            table: command_id, detector, score, rank.

        Raises:
            StoreError: a column is missing or holds nulls.
        """
        rows = checked(table, DETECTED, "anomalies")
        key = {"day": day, "scale": scale, "settings": settings}
        with self.transaction(), self._given(rows):
            self._run("delete from anomaly where day = $day and scale = $scale and settings = $settings", key)
            self._run(
                "insert into anomaly select $day, $scale, detector, command_id, score, rank, $settings from given", key
            )

    def anomalies(
        self, days: Sequence[date] | None = None, scale: str | None = None, settings: str | None = None
    ) -> pa.Table:
        """ANOMALIES of the days, scale and settings asked for (None: all), by day, scale, settings, detector, rank."""
        return self._table(
            "select day, scale, detector, command_id, score, rank, settings from anomaly"
            " where ($days is null or list_contains($days::date[], day)) and ($scale is null or scale = $scale)"
            " and ($settings is null or settings = $settings)"
            " order by day, scale, settings, detector, rank, command_id",
            ANOMALIES,
            {"days": None if days is None else list(days), "scale": scale, "settings": settings},
        )

    def put_groups(self, day: date, settings: str, table: pa.Table) -> None:
        """Replace the near-duplicate groups of this day and settings.

        Args:
            day: the day whose anomalies were grouped.
            settings: hash of everything that the grouping depends on.
            table: command_id, representative_id, level (exact, masked, cosine), cosine (nullable).

        Raises:
            StoreError: a column is missing or holds nulls, or a level is none of the three.
        """
        rows = checked(table, GROUPED, "groups")
        key = {"day": day, "settings": settings}
        with self.transaction(), self._given(rows):
            self._run("delete from near_group where day = $day and settings = $settings", key)
            self._run(
                "insert into near_group"
                " select $day, command_id, representative_id, level, cosine, $settings from given",
                key,
            )

    def groups(self, settings: str, days: Sequence[date] | None = None) -> pa.Table:
        """GROUPS of these settings, by day and command_id."""
        return self._table(
            "select day, command_id, representative_id, level, cosine, settings from near_group"
            " where settings = $settings and ($days is null or list_contains($days::date[], day))"
            " order by day, command_id, representative_id",
            GROUPS,
            {"settings": settings, "days": None if days is None else list(days)},
        )
