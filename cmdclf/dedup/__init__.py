"""Near-duplicates: exact, then masked, then cosine, incremental across days; and clean-up of tests."""

from __future__ import annotations

from cmdclf.dedup.decontaminate import remove_near
from cmdclf.dedup.groups import GROUPS, THRESHOLD_COSINE, KnownGroups, near_duplicates
from cmdclf.dedup.index import EXACT_LIMIT, NearIndex

__all__ = ["EXACT_LIMIT", "GROUPS", "THRESHOLD_COSINE", "KnownGroups", "NearIndex", "near_duplicates", "remove_near"]
