"""Command lines as a judge may see them: no secret in them, neither in plain sight nor encoded."""

from __future__ import annotations

import pyarrow as pa

from cmdclf.labels.judge import JudgeRequest
from cmdclf.lines import redact_hidden

__all__ = ["requests_for"]


def requests_for(lines: pa.Table) -> list[JudgeRequest]:
    """The lines as redacted requests, in order.

    `redact_hidden` says what becomes of secrets that a line carries encoded or split.

    Args:
        lines: `command_id`, `platform`, `command_line`, optionally `parent_command_line`; unredacted.
    """
    raw = [text or "" for text in lines["command_line"].to_pylist()]
    parents: list[str | None] = [None] * lines.num_rows
    if "parent_command_line" in lines.column_names:
        parents = lines["parent_command_line"].to_pylist()
    requests = []
    for command_id, platform, line, parent in zip(
        lines["command_id"].to_pylist(), lines["platform"].to_pylist(), raw, parents, strict=True
    ):
        shown = redact_hidden(line, platform)
        above = redact_hidden(parent, platform).text if parent else ""
        requests.append(JudgeRequest(command_id, platform, shown.text, above, shown.decoded))
    return requests
