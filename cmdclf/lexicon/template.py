"""Templates of command lines and the lexicon that holds them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from cmdclf.errors import LexiconError
from cmdclf.resources import data_path
from cmdclf.telemetry import PLATFORMS

__all__ = ["SLOT", "Lexicon", "Template", "skeleton"]

#: `{{name}}` or `{{name:args}}`; `{{ .Values }}` and `{{.Names}}` are literal text of other programs.
SLOT = re.compile(r"\{\{([a-z][a-z0-9_]*)(?::([^{}]*))?\}\}")
_LABELS = ("benign", "malicious")


@dataclass(frozen=True, slots=True)
class Template:
    """One command line with slots, and what is known about it.

    Attributes:
        id: stable and unique.
        label: `benign` or `malicious`.
        platform: `windows`, `linux` or `macos`.
        role: the topic; the `source` of its lines in pools.
        line: the command line with slots.
        tool, intent: the program and what it is run for.
        technique: ATT&CK ids where malicious.
        hard: naive rules would err on it.
        twin: id of a near look-alike of the other label, or "".
        weight: 0 = rare; 1..100 = relative frequency of templates that recur all day.
        parent: the parent's command line with slots, or "".
        payload: what `{{payload:...}}` encodes, with slots, or "".
        file: the name of the file that it was read from.
    """

    id: str
    label: str
    platform: str
    role: str
    line: str
    tool: str = ""
    intent: str = ""
    technique: tuple[str, ...] = ()
    hard: bool = False
    twin: str = ""
    weight: int = 0
    parent: str = ""
    payload: str = ""
    file: str = ""

    @classmethod
    def from_record(cls, record: dict[str, Any], file: str) -> Template:
        """A template from one `[[template]]` table of a TOML file.

        Raises:
            LexiconError: a key is missing, unknown or of the wrong type.
        """
        name = str(record.get("id", "without an id"))

        def fault(message: str, remedy: str) -> LexiconError:
            return LexiconError(f"template '{name}': {message}", remedy=remedy, file=file)

        known = {f.name for f in fields(cls)} - {"file"}
        if unknown := sorted(set(record) - known):
            raise fault(f"unknown key {', '.join(unknown)}", f"Known keys: {', '.join(sorted(known))}")
        for key in ("id", "label", "platform", "role", "line"):
            if not isinstance(record.get(key), str) or not record[key].strip():
                raise fault(f"'{key}' is missing", f"Give '{key}' as a text")
        wanted: dict[str, type] = {"hard": bool, "weight": int, "technique": list}
        for key, value in record.items():
            kind = wanted.get(key, str)
            if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
                raise fault(f"'{key}' is {type(value).__name__}", f"Give '{key}' as {kind.__name__}")
        if record["label"] not in _LABELS:
            raise fault(f"label '{record['label']}'", "Use benign or malicious")
        if record["platform"] not in PLATFORMS:
            raise fault(f"platform '{record['platform']}'", "Use windows, linux or macos")
        values = dict(record)
        values["technique"] = tuple(values.get("technique", ()))
        return cls(**values, file=Path(file).name)


@dataclass(frozen=True, slots=True)
class Lexicon:
    """All templates, in the order of file names and of the tables in them."""

    templates: tuple[Template, ...]

    @classmethod
    def load(cls, folder: str | Path | None = None) -> Lexicon:
        """The templates of all `*.toml` files of a folder, or of the bundled lexicon.

        Raises:
            LexiconError: no file is there, or one can't be read; names file and template.
        """
        root = data_path("lexicon") if folder is None else Path(folder)
        files = sorted(root.glob("*.toml"))
        if not files:
            raise LexiconError("no lexicon file (*.toml) is here", remedy="Name a folder with lexicon files", file=root)
        templates: list[Template] = []
        for path in files:
            try:
                content = tomllib.loads(path.read_text(encoding="utf-8"))
            except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
                raise LexiconError(str(error), remedy="Correct the TOML at that place", file=path) from error
            records = content.get("template", [])
            if set(content) - {"template"} or not isinstance(records, list):
                raise LexiconError("only [[template]] tables belong here", remedy="Remove other keys", file=path)
            templates.extend(Template.from_record(record, str(path)) for record in records)
        return cls(tuple(templates))

    def __len__(self) -> int:
        return len(self.templates)

    def __iter__(self) -> Iterator[Template]:
        return iter(self.templates)

    def check(self) -> list[str]:
        """What is wrong with the templates, one sentence each; an empty list when all is well."""
        from cmdclf.lexicon.check import problems

        return problems(self.templates)


def skeleton(text: str) -> str:
    """Text with slots, numbers and runs of white space evened out, lower-cased: equal skeletons are duplicates."""
    text = SLOT.sub(lambda m: "\0" if m[1] != "pick" and not m[1].startswith("payload") else m[0], text)
    return re.sub(r"\s+", " ", re.sub(r"[0-9]+", "0", text)).strip().lower()
