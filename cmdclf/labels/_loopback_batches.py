"""The loopback server's files and batches: uploads in memory, each row answered as a request of its own."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import HTTP
from typing import Any

from cmdclf.labels._loopback_replies import Reply, fault

__all__ = ["Batches"]

Ask = Callable[[str, str], Reply]


class Batches:
    """Files and batches of one server.

    A batch is done as soon as it is made. Its results come in another order than its requests, as the real ones may;
    what failed stands in the error file.

    Args:
        ask: answers one request, given its path and the text of its body.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self.files: dict[str, tuple[dict[str, Any], bytes]] = {}
        self.batches: dict[str, dict[str, Any]] = {}

    def upload(self, content_type: str, body: bytes) -> Reply:
        """POST /v1/files: a form with `purpose` and `file`."""
        form = message_from_bytes(b"content-type: " + content_type.encode() + b"\r\n\r\n" + body, policy=HTTP)
        parts: dict[object, Any] = {}
        if isinstance(form, EmailMessage) and form.is_multipart():
            parts = {part.get_param("name", header="content-disposition"): part for part in form.iter_parts()}
        content = parts["file"].get_payload(decode=True) if "file" in parts else None
        if not isinstance(content, bytes):
            return fault(400, "missing_file", "the form has no file")
        return Reply(self._store(content, parts["file"].get_filename() or "upload"))

    def create(self, body: dict[str, Any]) -> Reply:
        """POST /v1/batches: answer every row of the file."""
        source = self.files.get(str(body.get("input_file_id")))
        if source is None:
            return fault(400, "invalid_file", "no such file")
        results: list[bytes] = []
        errors: list[bytes] = []
        for row in source[1].splitlines():
            try:
                request = json.loads(row)
                name, path, sent = str(request["custom_id"]), str(request["url"]), json.dumps(request["body"])
            except (ValueError, RecursionError, KeyError, TypeError):
                errors.append(json.dumps({"custom_id": None, "response": None, "error": {"code": "invalid"}}).encode())
                continue
            if path != body.get("endpoint"):
                reply = fault(400, "mismatched_endpoint", "the row names another endpoint")
            else:
                reply = self._ask(path, sent)
            if reply.status == 0:
                continue  # the row gets lost
            done: dict[str, Any] = {"id": f"batch_req_{len(results) + len(errors)}", "custom_id": name}
            done["response"] = {"status_code": reply.status, "request_id": "req", "body": reply.body}
            done["error"] = None
            (results if reply.status == 200 else errors).append(json.dumps(done).encode())
        with self._lock:
            batch = {
                "id": f"batch_{len(self.batches) + 1}",
                "object": "batch",
                "endpoint": body.get("endpoint"),
                "input_file_id": body.get("input_file_id"),
                "completion_window": "24h",
                "created_at": 1,
                "status": "completed",
                "metadata": body.get("metadata"),
                "request_counts": {
                    "total": len(results) + len(errors),
                    "completed": len(results),
                    "failed": len(errors),
                },
            }
            self.batches[str(batch["id"])] = batch
        for key, rows in (("output_file_id", results), ("error_file_id", errors)):
            content = b"".join(row + b"\n" for row in reversed(rows))
            batch[key] = self._store(content, f"{key}.jsonl")["id"] if rows else None
        return Reply(batch)

    def get(self, path: str, *, cut: bool) -> Reply:
        """GET below /v1/files or /v1/batches; `cut` ends a file's content in the middle of a row."""
        parts = path.split("/")[2:]
        if parts == ["batches"]:
            with self._lock:
                found = list(reversed(self.batches.values()))
            return Reply({"object": "list", "data": found, "has_more": False})
        if len(parts) == 2 and parts[0] == "batches" and parts[1] in self.batches:
            return Reply(self.batches[parts[1]])
        if len(parts) >= 2 and parts[0] == "files" and parts[1] in self.files:
            about, content = self.files[parts[1]]
            if len(parts) == 2:
                return Reply(about)
            return Reply(content[: len(content) - 20] if cut else content)
        return fault(404, "not_found", "no such file or batch")

    def _store(self, content: bytes, filename: str) -> dict[str, Any]:
        with self._lock:
            about = {
                "id": f"file-{len(self.files) + 1}",
                "object": "file",
                "bytes": len(content),
                "created_at": 1,
                "filename": filename,
                "purpose": "batch",
                "status": "processed",
            }
            self.files[str(about["id"])] = (about, content)
        return about
