"""When orders are placed, and which."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waybill.load.arrivals import Bursts, Leg, Plan, Spacing, constant, moments, poisson, steady
from waybill.load.mix import FAILURES, KINDS, Mix, MixError, goods, parse

rates = st.floats(min_value=0, max_value=50)
legs = st.builds(Leg, st.floats(min_value=0.1, max_value=60), rates, rates)
spacings = st.sampled_from(Spacing)
bursts = st.none() | st.builds(Bursts, st.integers(1, 20), st.floats(min_value=0.5, max_value=60))
plans = st.builds(Plan, st.lists(legs, min_size=1, max_size=4), spacings, bursts, st.integers(0, 1000))


@given(plans)
def test_moments_never_fall_and_lie_within_the_plan(plan: Plan) -> None:
    times = list(plan.times())
    assert times == sorted(times)
    assert all(0 <= each <= plan.seconds + 1e-9 for each in times)


@given(plans)
def test_the_same_plan_gives_the_same_moments(plan: Plan) -> None:
    assert list(plan.times()) == list(plan.times())


@given(st.lists(legs, min_size=1, max_size=4))
def test_steady_orders_are_as_many_as_the_rate_says_at_each_moment(stretches: list[Leg]) -> None:
    times = list(moments(stretches, steady()))
    total = sum(each.orders for each in stretches)
    assert len(times) == pytest.approx(total, abs=1.001)
    ends = list(itertools.accumulate(each.seconds for each in stretches))
    due = list(itertools.accumulate(each.orders for each in stretches))
    for end, orders in zip(ends, due, strict=True):
        assert sum(each < end for each in times) == pytest.approx(orders, abs=1.001)


@given(st.floats(min_value=0.5, max_value=50), st.floats(min_value=1, max_value=30))
def test_steady_orders_at_a_constant_rate_are_equally_far_apart(rate: float, seconds: float) -> None:
    times = list(moments(constant(rate, seconds), steady()))
    assert times[0] == 0
    assert [later - sooner for sooner, later in itertools.pairwise(times)] == pytest.approx(
        [1 / rate] * (len(times) - 1), abs=1e-6
    )


def test_poisson_orders_are_as_many_as_the_rate_says_in_the_mean_and_vary_as_they_should() -> None:
    counts = [sum(1 for _ in moments(constant(10, 10), poisson(seed))) for seed in range(300)]
    mean = sum(counts) / len(counts)
    variance = sum((each - mean) ** 2 for each in counts) / len(counts)
    assert mean == pytest.approx(100, rel=0.03)
    assert variance == pytest.approx(100, rel=0.3)


def test_poisson_orders_of_another_seed_come_at_other_times() -> None:
    plans_of = [Plan(constant(5, 10), Spacing.POISSON, seed=seed) for seed in (1, 2)]
    assert list(plans_of[0].times()) != list(plans_of[1].times())


def test_a_ramp_has_few_orders_at_first_and_many_at_last() -> None:
    times = list(Plan((Leg(10, 0, 10),)).times())
    assert len(times) == 50
    assert sum(each < 5 for each in times) == pytest.approx(12.5, abs=1)


def test_bursts_come_all_at_once_besides_the_others() -> None:
    times = list(Plan(constant(1, 10), bursts=Bursts(5, 4)).times())
    assert times.count(4.0) == times.count(8.0) == 6  # five, and the steady one
    assert len(times) == 20


@given(st.lists(legs, min_size=1, max_size=3), bursts)
def test_a_plan_knows_about_how_many_orders_it_has(stretches: list[Leg], extra: Bursts | None) -> None:
    plan = Plan(stretches, bursts=extra)
    assert len(list(plan.times())) == pytest.approx(plan.orders, abs=1.001)


@pytest.mark.parametrize("wrong", [(0, 1, 1), (-1, 1, 1), (1, -1, 1), (1, 1, math.inf), (math.nan, 1, 1)])
def test_a_leg_without_length_or_with_a_rate_that_cannot_be_is_refused(wrong: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="length"):
        Leg(*wrong)


@pytest.mark.parametrize("wrong", [(0, 1.0), (1, 0.0), (1, math.inf)])
def test_a_burst_of_nothing_is_refused(wrong: tuple[int, float]) -> None:
    with pytest.raises(ValueError, match="burst"):
        Bursts(*wrong)


def test_kinds_come_in_the_shares_of_the_mix() -> None:
    mix = parse("fulfilled=3,two-parcels=1", failures=0.2)
    names = [kind.name for kind in itertools.islice(mix.kinds(seed=7), 5_000)]
    for name, share in mix.shares().items():
        assert names.count(name) / len(names) == pytest.approx(share, abs=0.03)
    assert sum(mix.shares().values()) == pytest.approx(1)


def test_the_same_seed_gives_the_same_orders() -> None:
    mix = parse("fulfilled,two-parcels")
    first, second = ([kind.name for kind in itertools.islice(mix.kinds(3), 50)] for _ in range(2))
    assert first == second


def test_failures_are_orders_that_must_be_refused() -> None:
    names = set(parse("fulfilled", failures=1).shares())
    assert names == set(FAILURES)
    assert all(KINDS[name].refused for name in names)


def test_what_must_come_out_is_said_as_a_list_of_orders_says_it() -> None:
    assert KINDS["two-parcels"].expected == "fulfilled"
    assert KINDS["one-carrier-down"].expected == "fulfilled"
    assert KINDS["card-declined"].expected == "rejected: declined"


@pytest.mark.parametrize("text", ["no-such-order", "fulfilled=much", "fulfilled=-1", "fulfilled=0", "fulfilled=nan"])
def test_a_mix_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(MixError):
        parse(text)


def test_orders_that_wait_for_somebody_are_no_load() -> None:
    assert "approved" not in KINDS
    with pytest.raises(MixError, match="there is no kind"):
        Mix({"approved": 1})


def test_goods_of_a_mix_are_where_the_shop_keeps_them() -> None:
    assert goods(parse("fulfilled,two-parcels")) == {("TEA-250", "north"): 2, ("LAMP-1", "south"): 1}
