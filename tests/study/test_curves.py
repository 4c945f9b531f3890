"""The cumulative curves, their saturation, the fitted law and what is said of them."""

from __future__ import annotations

import json
from datetime import date, timedelta

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdclf.study.curves import TOGETHER, anomaly_curves, heaps_law, saturation_rows, saturation_text
from cmdclf.study.plots import curves_plot

START = date(2026, 1, 5)


def day(number):
    return START + timedelta(days=number)


def curves_of(rows, heads, days):
    """`rows`: (day number, scale, command_id); `heads`: command_id -> representative_id."""
    kinds = [("day", pa.date32()), ("scale", pa.string()), ("command_id", pa.string())]
    found = pa.table([pa.array([day(r[0]) for r in rows], pa.date32()), *(pa.array([r[i] for r in rows], pa.string())
                      for i in (1, 2))], schema=pa.schema(kinds))  # fmt: skip
    grouped = sorted({(r[0], r[2]) for r in rows})
    groups = pa.table(
        {
            "day": pa.array([day(d) for d, _ in grouped], pa.date32()),
            "command_id": pa.array([i for _, i in grouped], pa.string()),
            "representative_id": pa.array([heads[i] for _, i in grouped], pa.string()),
        }
    )
    return anomaly_curves(found, groups, [day(d) for d in range(days)])


HEADS = {"a": "a", "b": "a", "c": "c", "d": "d"}
ROWS = [
    (0, "full", "a"), (0, "reduced", "a"), (0, "reduced", "a"), (0, "full", "c"),
    (1, "full", "a"), (1, "reduced", "b"),
    (3, "full", "d"), (3, "reduced", "c"),
]  # fmt: skip


def test_each_scale_has_its_own_curves_and_what_both_found_counts_once_together():
    curves = curves_of(ROWS, HEADS, 4)
    assert curves["by_scale"] == {
        "full": {"all": [2, 3, 3, 4], "distinct": [2, 2, 2, 3], "near_distinct": [2, 2, 2, 3]},
        "reduced": {"all": [2, 3, 3, 4], "distinct": [1, 2, 2, 3], "near_distinct": [1, 1, 1, 2]},
    }
    assert {k: curves[k] for k in ("all", "distinct", "near_distinct")} == {
        "all": [4, 6, 6, 8],
        "distinct": [2, 3, 3, 4],
        "near_distinct": [2, 2, 2, 3],
    }


def test_new_lines_and_their_share_are_those_of_the_day_and_a_day_without_any_has_no_share():
    saturation = curves_of(ROWS, HEADS, 4)["saturation"]
    assert saturation["reduced"]["new_near_distinct"] == [1, 0, 0, 1]
    assert saturation["reduced"]["new_share"] == [1.0, 1.0, None, 1.0]
    assert saturation[TOGETHER]["new_share"] == [1.0, 0.5, None, 0.5]


@st.composite
def months(draw):
    ids = "abcdefgh"
    heads = {i: draw(st.sampled_from(ids[: at + 1])) for at, i in enumerate(ids)}
    heads = {i: heads[h] if heads[heads[h]] == heads[h] else i for i, h in heads.items()}
    row = st.tuples(st.integers(0, 9), st.sampled_from(["full", "reduced"]), st.sampled_from(ids))
    return draw(st.lists(row, max_size=60)), heads


@given(months(), st.randoms())
def test_curves_rise_in_their_order_add_up_and_do_not_hang_on_the_order_of_rows(month, rng):
    rows, heads = month
    curves = curves_of(rows, heads, 10)
    shuffled = rng.sample(rows, len(rows))
    assert json.dumps(curves_of(shuffled, heads, 10)) == json.dumps(curves)
    scales = curves["by_scale"]
    for scale, lists in (*scales.items(), (TOGETHER, curves)):
        for name in ("all", "distinct", "near_distinct"):
            assert lists[name] == sorted(lists[name])
        steps = zip(lists["near_distinct"], lists["distinct"], lists["all"], strict=True)
        assert all(near <= distinct <= count for near, distinct, count in steps)
        assert sum(curves["saturation"][scale]["new_near_distinct"]) == lists["near_distinct"][-1]
    for both, full, reduced in zip(*(c["near_distinct"] for c in (curves, *scales.values())), strict=True):
        assert max(full, reduced) <= both <= full + reduced


def test_the_law_is_found_in_numbers_that_follow_it():
    n = [100 * (d + 1) for d in range(30)]
    law = heaps_law(n, [3 * x**0.5 for x in n])
    assert (law["K"], law["b"]) == (pytest.approx(3, abs=1e-4), pytest.approx(0.5, abs=1e-5))
    assert law["next_30_days"] == round(3 * (6000**0.5 - 3000**0.5))
    assert law["second_half"]["foretold"] == pytest.approx(law["second_half"]["observed"], abs=1)


@pytest.mark.parametrize(("n", "near"), [([], []), ([5], [3]), ([5, 5], [3, 3]), ([0, 5], [0, 5])])
def test_one_point_fixes_no_law(n, near):
    assert heaps_law(n, near) is None


def test_a_law_too_steep_for_any_number_foretells_a_new_line_for_each_anomaly_at_most():
    law = heaps_law([900, 901], [1, 2])
    assert law["b"] > 600
    assert law["K"] == 0
    assert law["next_30_days"] == round(30 * 901 / 2)


def test_half_of_two_days_is_too_short_to_foretell_the_other():
    law = heaps_law([10, 20], [5, 8])
    assert law["second_half"] is None
    assert 0 < law["b"] < 1


def month_of(new):
    """Curves of days with 20 anomalies at full scale, of which `new` are new; the others are the month's first line."""
    rows, count = [], 0
    for number, fresh in enumerate(new):
        rows += [(number, "full", str(i)) for i in range(count, count + fresh)]
        count += fresh
        rows += [(number, "full", "0")] * (20 - fresh if count else 0)
    return curves_of(rows, {str(i): str(i) for i in range(count)}, len(new))


@pytest.mark.parametrize(
    ("new", "quarter", "tenth"),
    [
        ([10] * 14, None, None),
        ([10] * 7 + [2] * 7, 8, None),  # 14 of 70; from day 7 on there are 22
        ([10] * 7 + [1] * 7, 7, None),  # 7 of 70 are not below a tenth
        ([20] * 7 + [0] * 6, 7, None),  # the week from day 7 on still holds a day of the first
        ([20] * 7 + [0] * 14, 7, 8),
        ([10] * 5, None, None),
        ([0] * 14, None, None),
    ],
)
def test_saturation_is_dated_to_the_first_week_that_stays_below_the_share(new, quarter, tenth):
    assert month_of(new)["saturation"]["full"]["below_first_week"] == {"0.25": quarter, "0.1": tenth}


def test_it_is_said_whether_the_month_saturates():
    assert "saturates: from day 8 on" in saturation_text(month_of([20] * 7 + [0] * 14))
    flattening = saturation_text(month_of([20] * 7 + [6] * 14), "full")
    assert "flattens but does not saturate within these 21 days: the last week brought 30 %" in flattening
    assert "does not flatten within these 14 days" in saturation_text(month_of([1] * 7 + [19] * 7))
    for few in ([10] * 7, [0] * 14, [0] * 13 + [5]):
        assert saturation_text(month_of(few)).startswith("Too few days")


def test_a_law_that_foretold_too_much_is_called_an_upper_figure():
    text = saturation_text(month_of([20] * 10 + [2] * 10))
    assert "first 10 days foretold 200 for the others; 20 came, so that the figure is an upper one." in text


def test_rows_sum_up_each_scale_and_have_gaps_where_nothing_is_known():
    full, reduced, together = saturation_rows(month_of([10] * 7 + [2] * 7))
    assert (full["scale"], full["near_distinct"], full["first_week"], full["last_week"]) == ("full", 84, 10, 2)
    assert (full["below_25"], full["below_10"]) == (8, None)
    assert full["new_share"] == pytest.approx(2 / 3, abs=1e-5)
    assert reduced | {"scale": "reduced"} == dict.fromkeys(reduced, None) | {
        "scale": "reduced", "all": 0, "distinct": 0, "near_distinct": 0, "first_week": 0, "last_week": 0,
    }  # fmt: skip
    assert together | {"scale": "full"} == full


def test_the_picture_is_the_same_bytes_each_time():
    curves = month_of([20] * 7 + [3] * 14)
    picture = curves_plot(curves)
    assert picture == curves_plot(curves)
    assert "a tenth of the first week" in picture


@pytest.mark.parametrize("new", [[5], []])
def test_the_picture_of_a_scale_without_anomalies_is_drawn_and_few_days_have_no_first_week(new):
    picture = curves_plot(month_of(new))
    assert "Reduced scale" in picture
    assert "a tenth of the first week" not in picture
