from __future__ import annotations

import base64
import gzip
import random
import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdclf.errors import LexiconError
from cmdclf.lexicon import Estate, Lexicon, Template, render
from cmdclf.lexicon.batch import BatchRenderer
from cmdclf.lexicon.images import images
from cmdclf.lexicon.render import image_of
from cmdclf.lexicon.slot_programs import SLOT_PROGRAMS
from cmdclf.lexicon.slots import SLOTS
from cmdclf.lexicon.template import SLOT

ESTATE = Estate.from_seed(3, users=120)
ARGUMENTS = {"int": ["3-17", "0-9223372036854775806"], "pick": ["a|b c|d"], "hex": ["", "5"], "b64": ["", "6"]}
ARGUMENTS |= {"date": ["", "%y%m%d_%H%M"], "time": ["", "%H%M%S"], "url": ["", "a b.exe"], "guid": ["", "upper"]}
CASES = [(slot, args) for slot in sorted(SLOTS) for args in ARGUMENTS.get(slot, [""])]


def template(line: str, platform: str = "windows", *, parent: str = "", payload: str = "", **more: object) -> Template:
    return Template(
        id="t", label="benign", platform=platform, role="r", line=line, parent=parent, payload=payload, **more
    )


def many(line: str, n: int = 400, platform: str = "windows", *, seed: int = 1, payload: str = "") -> list[str]:
    renderer = BatchRenderer([template(line, platform, payload=payload)], estate=ESTATE)
    return renderer.render(np.zeros(n, np.int64), seed)[0].to_pylist()


def singles(line: str, n: int = 400, platform: str = "windows") -> list[str]:
    one = template(line, platform)
    return [render(one, random.Random(k), estate=ESTATE).command_line for k in range(n)]


def form(text: str) -> str:
    """A value's form: what it looks like but for its letters and digits."""
    return re.sub(r"[0-9]+", "0", re.sub(r"[A-Za-z]+", "a", text))


@pytest.mark.parametrize("platform", ["windows", "linux", "macos"])
@pytest.mark.parametrize(("slot", "args"), CASES)
def test_a_batch_writes_what_single_renderings_write(slot: str, args: str, platform: str) -> None:
    text = f"{{{{{slot}:{args}}}}}" if args else f"{{{{{slot}}}}}"
    batch, single = many(text, 1500, platform), singles(text, 1500, platform)
    assert not any(SLOT.search(value) for value in batch)
    if slot not in SLOT_PROGRAMS:
        # Drawn from a table of values that the slot's function gave: no form is another, but some values are missing.
        assert len(set(batch)) >= min(len(set(single)), 12)
        assert {f for f, n in Counter(map(form, batch)).items() if n >= 60} <= set(map(form, single))
        return
    few = set(single)
    if len(few) < 60:
        # A small pool: the same values, about as often.
        assert set(batch) == few
        often, expected = Counter(batch), Counter(single)
        assert all(abs(often[v] - expected[v]) < 8 * (expected[v] ** 0.5 + 3) for v in few)
        return
    assert sorted(map(len, batch))[len(batch) // 2] == pytest.approx(sorted(map(len, single))[len(single) // 2], abs=3)
    assert {len(value) for value in batch} & {len(value) for value in single}
    common = {f for f, n in Counter(map(form, single)).items() if n >= 30}
    assert common <= set(map(form, batch))
    common = {f for f, n in Counter(map(form, batch)).items() if n >= 30}
    assert common <= set(map(form, single))
    characters = Counter("".join(single))
    assert set("".join(batch)) <= set(characters)
    assert {c for c, n in characters.items() if n > 20} <= set("".join(batch))


def test_every_bundled_template_renders_in_a_batch_as_it_does_alone() -> None:
    lexicon = Lexicon.load().templates
    renderer = BatchRenderer(lexicon, estate=ESTATE)
    which = np.repeat(np.arange(len(lexicon)), 3)
    lines, parents = renderer.render(which, 5)
    for number, line, parent in zip(which, lines.to_pylist(), parents.to_pylist(), strict=True):
        one = lexicon[number]
        assert (parent is not None) == bool(one.parent), one.id
        for text, of in ((line, one.line), (parent or "", one.parent)):
            assert not SLOT.search(text), one.id
            pieces = [re.escape(piece) for piece in re.split(r"\{\{[a-z][a-z0-9_]*(?::[^{}]*)?\}\}", of)]
            assert re.fullmatch("[^\n]*".join(pieces), text), one.id


def test_the_same_seed_gives_the_same_lines_whatever_stands_beside_them() -> None:
    lexicon = Lexicon.load().templates[:50]
    which = np.arange(50)
    first = BatchRenderer(lexicon).render(which, 9)
    renderer = BatchRenderer(lexicon)
    renderer.render(which[::-1].copy(), 1)
    assert renderer.render(which, 9)[0].equals(first[0])
    assert renderer.render(which[:7], 9)[0].equals(first[0][:7])
    assert not renderer.render(which, 10)[0].equals(first[0])


def test_a_slot_has_one_value_in_a_line_its_parent_and_its_payload() -> None:
    one = template(
        "{{user}} {{user2}} {{path_home}} {{payload:base64}} {{user}}", parent="of {{user}}", payload="in {{user}}"
    )
    lines, parents = BatchRenderer([one], estate=ESTATE).render(np.zeros(300, np.int64), 1)
    second = set()
    for line, parent in zip(lines.to_pylist(), parents.to_pylist(), strict=True):
        user, other, home, payload, again = line.split(" ")
        assert home == f"C:\\Users\\{user}"
        assert again == user
        assert parent == f"of {user}"
        assert base64.b64decode(payload).decode() == f"in {user}"
        second.add(user != other)
    assert second == {True, False}


def test_slots_that_depend_on_others_keep_to_them_in_a_batch() -> None:
    for line in many("{{product}}|{{reg_key}}|{{path_program}}|{{bundle}}"):
        product, key, path, bundle = line.split("|")
        assert key.endswith(product.replace(" ", "\\"))
        assert path.endswith(product)
        assert bundle.endswith(product.split(" ")[1].lower())


def test_payloads_decode_to_the_rendered_text() -> None:
    text = "{{user}} {{payload:base64}} {{payload:hex}} {{payload:gzip-base64}} {{payload:ps-encoded}}"
    for line in many(text, payload="hi {{user}} \u00fc\u20ac\U0001f600 {{int:1-9}}"):
        user, b64, hexed, zipped, encoded = line.split(" ")
        wanted = base64.b64decode(b64).decode()
        assert re.fullmatch(f"hi {user} \u00fc\u20ac\U0001f600 [1-9]", wanted)
        assert bytes.fromhex(hexed).decode() == wanted
        assert gzip.decompress(base64.b64decode(zipped)).decode() == wanted
        assert base64.b64decode(encoded).decode("utf-16-le") == wanted


@given(st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=60))
def test_any_text_is_kept_and_encoded_without_loss(text: str) -> None:
    if SLOT.search(text):
        return
    line = many(f"{text}\n{{{{payload:ps-encoded}}}}\n{{{{payload:base64}}}}", 1, payload=text)[0]
    kept, wide, narrow = line.rsplit("\n", 2)
    assert kept == text
    assert base64.b64decode(wide).decode("utf-16-le") == text
    assert base64.b64decode(narrow).decode() == text


@pytest.mark.parametrize(
    ("line", "bits"),
    [("fixed", 0), ("{{pick:a|b}}", 1), ("{{hex:6}} {{hex:6}}", 24), ("{{path_temp}}", 7.9), ("{{payload:hex}}", 4)],
)
def test_a_templates_variety_is_known(line: str, bits: float) -> None:
    renderer = BatchRenderer([template(line, payload="{{hex:1}}")], estate=ESTATE)
    assert renderer.bits(np.zeros(1, np.int64))[0] == pytest.approx(bits, abs=0.1)


@pytest.mark.parametrize("line", ["{{nothing}}", "{{int:9-1}}", "{{payload:rot13}}", "{{host:beos}}", "{{hex:zero}}"])
def test_a_faulty_slot_names_the_template(line: str) -> None:
    with pytest.raises(LexiconError, match="template 't'"):
        BatchRenderer([template(line, payload="x")]).render(np.zeros(1, np.int64), 0)


def test_long_lines_make_the_buffers_grow() -> None:
    lines = many("{{hex:90000}} " * 3, 40)
    assert {len(line) for line in lines} == {3 * 90001}
    assert len(set(lines)) == 40


@given(st.lists(st.text(st.sampled_from('"C:\\/ .exE abé'), max_size=40), max_size=6), st.booleans())
def test_images_of_many_lines_are_those_of_each(lines: list[str], windows: bool) -> None:
    import pyarrow as pa

    # A drive is an ASCII letter; the single function takes any character for one.
    lines = [line for line in lines if "é:" not in line]
    wanted = [image_of(line, "windows" if windows else "linux") for line in lines]
    array = pa.array(["skipped", None, *lines], pa.string())[1:]
    assert images(array, np.full(len(array), windows)).to_pylist() == [None, *wanted]


def test_a_second_value_may_be_numbered_in_each_way() -> None:
    line = "{{b64:8}} {{b642:8}} {{b64_2:8}} {{sha2562}} {{sha256_3}} {{user9}}"
    for text in (*many(line, 3), *singles(line, 3)):
        values = text.split(" ")
        assert [len(value) for value in values[:5]] == [8, 8, 8, 64, 64]
        assert len(set(values)) == 6
        assert values[5] in ESTATE.users
