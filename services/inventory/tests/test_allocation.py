from hypothesis import given
from hypothesis import strategies as st

from inventory.allocation import Pick, allocate
from inventory.contract import Line

skus = st.sampled_from(["a", "b", "c"])
orders = st.dictionaries(skus, st.integers(1, 9), min_size=1)
shelves = st.dictionaries(st.tuples(skus, st.sampled_from(["w1", "w2", "w3", "w4"])), st.integers(0, 9))


def _lines(wanted: dict[str, int]) -> list[Line]:
    return [Line(sku, quantity) for sku, quantity in wanted.items()]


def test_one_warehouse_that_has_everything_is_preferred_to_two_that_have_more() -> None:
    free = {("a", "east"): 9, ("b", "north"): 9, ("a", "south"): 2, ("b", "south"): 1}
    picks, missing = allocate([Line("a", 2), Line("b", 1)], free)
    assert picks == (Pick("a", "south", 2), Pick("b", "south", 1))
    assert missing == ()


def test_equal_warehouses_are_taken_by_name() -> None:
    picks, _ = allocate([Line("a", 2)], {("a", "west"): 5, ("a", "east"): 5})
    assert picks == (Pick("a", "east", 2),)


def test_a_line_is_split_where_no_warehouse_has_enough() -> None:
    picks, missing = allocate([Line("a", 5)], {("a", "east"): 2, ("a", "west"): 4})
    assert picks == (Pick("a", "east", 1), Pick("a", "west", 4))
    assert missing == ()


def test_what_is_nowhere_is_missing() -> None:
    picks, missing = allocate([Line("a", 5), Line("b", 1)], {("a", "east"): 2})
    assert picks == (Pick("a", "east", 2),)
    assert missing == (Line("a", 3), Line("b", 1))


@given(orders, shelves)
def test_as_much_as_possible_is_taken_and_never_more_than_there_is(
    wanted: dict[str, int], free: dict[tuple[str, str], int]
) -> None:
    picks, missing = allocate(_lines(wanted), free)
    lacking = {line.sku: line.quantity for line in missing}
    for pick in picks:
        assert 0 < pick.quantity <= free[pick.sku, pick.warehouse]
    for sku, quantity in wanted.items():
        taken = sum(pick.quantity for pick in picks if pick.sku == sku)
        there = sum(units for (other, _), units in free.items() if other == sku)
        assert taken == min(quantity, there)
        assert taken + lacking.get(sku, 0) == quantity


@given(orders, shelves)
def test_a_warehouse_that_has_everything_is_the_only_one(
    wanted: dict[str, int], free: dict[tuple[str, str], int]
) -> None:
    complete = {w for _, w in free if all(free.get((sku, w), 0) >= units for sku, units in wanted.items())}
    if complete:
        picks, _ = allocate(_lines(wanted), free)
        assert {pick.warehouse for pick in picks} == {min(complete)}
