"""A person as a judge: verdicts with the reviewer's name, overriding and withdrawing."""

from __future__ import annotations

import unicodedata

import pyarrow as pa

from cmdclf.errors import JudgeError
from cmdclf.labels.guard import guard
from cmdclf.labels.labeller import standing_verdicts
from cmdclf.labels.requests import requests_for
from cmdclf.labels.verdict import LABELS, PERSON, Label, Verdict, clean_reply, verdicts_table
from cmdclf.store import Store

__all__ = ["WITHDRAWN", "full_id", "record_verdict", "reviewer_name", "withdraw_verdict"]

#: The note of a verdict that a reviewer took back: the line waits for a look again, and teaches nothing until then.
WITHDRAWN = "withdrawn by the reviewer"

_NAME_LENGTH = 80
_ID_LENGTH, _SHORTEST_PREFIX = 32, 6


def reviewer_name(text: str) -> str:
    """The name as the ledger keeps it.

    Raises:
        JudgeError: it is empty, longer than 80 characters, or holds control or format characters.
    """
    name = unicodedata.normalize("NFC", text).strip()
    if not name:
        raise JudgeError("every verdict of a person names its reviewer", remedy="Give --reviewer NAME")
    if len(name) > _NAME_LENGTH or not name.isprintable():
        raise JudgeError(
            "this is no reviewer's name", remedy=f"Give at most {_NAME_LENGTH} characters without control characters"
        )
    return name


def record_verdict(
    store: Store,
    command_id: str,
    verdict: str,
    reviewer: str,
    *,
    reason: str = "",
    technique: str = "",
    lines: pa.Table | None = None,
    note: str = "",
) -> pa.Table:
    """VERDICTS: the line's whole history, after a person's verdict was appended to the ledger as judge `person`.

    The row names the reviewer and, in `supersedes`, the row that stood until then. A person's `benign` isn't vetoed:
    whoever reviews sees what the guard says. What it says is kept in `note`.

    Args:
        store: open for writing.
        command_id: which line; the store holds it, or a verdict on it, or `lines` does.
        verdict: benign, malicious or unsure.
        reviewer: who says so.
        reason, technique: in the reviewer's words; bounded.
        lines: LINES, texts that the store may not hold.
        note: for the ledger's readers.

    Raises:
        JudgeError: no such verdict, no name, or nothing is known of the line.
        StoreError: the store is open in another process.
    """
    name = reviewer_name(reviewer)
    if verdict not in LABELS:
        raise JudgeError(f"'{verdict}' is no verdict", remedy=f"Use {', '.join(LABELS)}")
    ids = pa.array([command_id], pa.string())
    before = standing_verdicts(store, ids).to_pylist()
    known = store.known_lines(ids)
    if not known.num_rows and lines is not None:
        known = lines.filter(pa.compute.equal(lines["command_id"], command_id)).slice(0, 1)
    if not known.num_rows and not before:
        raise JudgeError(f"nothing is known of the line {command_id!r}", remedy="Check the id, or give --lines FILE")
    notes = [note]
    if known.num_rows and verdict == "benign":
        warnings = guard(known)["reasons"][0].as_py()
        notes.append(f"despite {', '.join(warnings)}" if warnings else "")
    text = requests_for(known)[0].text_sha256 if known.num_rows else before[0]["text_sha256"] or ""
    label: Label = next(one for one in LABELS if one == verdict)
    row = Verdict(
        command_id,
        label,
        1.0,
        PERSON,
        reason=clean_reply(reason.strip(), 2000),
        technique=clean_reply(technique.strip(), 40),
        text_sha256=text,
        note="; ".join(one for one in notes if one)[:500],
        reviewer=name,
        supersedes=before[0]["seq"] if before else None,
    )
    store.append_verdicts(verdicts_table([row]))
    return store.verdict_history(command_id)


def withdraw_verdict(store: Store, command_id: str, reviewer: str) -> pa.Table:
    """VERDICTS: the line's whole history, after a person took the last verdict back.

    Nothing is erased: an `unsure` by the reviewer supersedes what was said, so that the line teaches nothing and is
    asked about again.

    Raises:
        JudgeError: this reviewer's verdict doesn't stand on the line.
    """
    name = reviewer_name(reviewer)
    standing = standing_verdicts(store, pa.array([command_id], pa.string())).to_pylist()
    if not standing or standing[0]["judge"] != PERSON or standing[0]["reviewer"] != name:
        raise JudgeError(f"no verdict of {name} stands on the line {command_id!r}", remedy="Supersede it instead")
    return record_verdict(store, command_id, "unsure", name, note=WITHDRAWN)


def full_id(store: Store, text: str) -> str:
    """The command_id that has a verdict and begins with `text`, at least 6 hexadecimal digits of it.

    Raises:
        JudgeError: none or several do.
    """
    wanted = text.strip().lower()
    if len(wanted) < _SHORTEST_PREFIX or len(wanted) > _ID_LENGTH or set(wanted) - set("0123456789abcdef"):
        raise JudgeError(
            f"{text!r} is no command_id",
            remedy=f"Give its 32 hexadecimal digits, or the first {_SHORTEST_PREFIX} or more",
        )
    found = store.verdict_ids(wanted)
    if len(found) != 1:
        what = "no verdict is about a line" if not found else f"verdicts on {len(found)} lines or more are about one"
        raise JudgeError(f"{what} whose id begins with {wanted}", remedy="Give more digits, or look at an export")
    return found[0]
