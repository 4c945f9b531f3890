"""Near-duplicates: exact, then masked, then cosine, among lines that do the same; and clean-up of tests."""

from __future__ import annotations

from cmdclf.dedup.decontaminate import TWIN_COSINE, remove_near
from cmdclf.dedup.groups import GROUPS, THRESHOLD_COSINE, near_duplicates
from cmdclf.dedup.index import EXACT_LIMIT, NearIndex
from cmdclf.dedup.known import KnownGroups
from cmdclf.dedup.persistent import RepresentativeIndex

__all__ = [
    "EXACT_LIMIT",
    "GROUPS",
    "THRESHOLD_COSINE",
    "TWIN_COSINE",
    "KnownGroups",
    "NearIndex",
    "RepresentativeIndex",
    "near_duplicates",
    "remove_near",
]
