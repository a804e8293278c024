import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory.parsing import COLUMNS, BadRowError, NotAListError, Row, csv_reader, json_reader

EUROS = frozenset({"EUR"})
HEADER = ",".join(COLUMNS)
GOOD: dict[str, Any] = {
    "sku": "TEA",
    "weight": 250,
    "currency": "EUR",
    "price": 1250,
    "warehouse": "east",
    "quantity": 0,
}


def test_a_row_is_read_from_either_form() -> None:
    row = Row("TEA", 250, "EUR", 1250, "east", 0)
    assert csv_reader(HEADER, EUROS)("TEA,250,EUR,1250,east,0") == row
    assert json_reader(EUROS)(json.dumps(GOOD)) == row


def test_columns_may_come_in_any_order_after_a_byte_order_mark_and_in_quotes() -> None:
    read = csv_reader("\ufeffquantity, price,sku,weight,currency,warehouse", EUROS)
    assert read('7,1250,"TEA, ""green""",250,EUR,east') == Row('TEA, "green"', 250, "EUR", 1250, "east", 7)


@pytest.mark.parametrize(
    "header",
    ["", "sku", HEADER + ",extra", HEADER.replace("price", "cost"), HEADER + ",sku", "TEA,250,EUR,1250,east,0", '"'],
)
def test_a_wrong_header_is_no_list(header: str) -> None:
    with pytest.raises(NotAListError, match="line 1: "):
        csv_reader(header, EUROS)


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("price", "12.50", 'price is "12.50", not a whole number from 1 to 1000000000'),
        ("price", "-1", "not a whole number"),
        ("price", "0", "price is 0, not from 1 to 1000000000"),
        ("price", "9999999999", "price is 9999999999, not from 1 to 1000000000"),
        ("price", "1e3", "not a whole number"),
        ("price", "٣", "not a whole number"),
        ("price", "9" * 400, "not a whole number"),
        ("weight", "0", "weight is 0"),
        ("weight", "", 'weight is ""'),
        ("quantity", "-1", "quantity is"),
        ("quantity", "10000001", "quantity is 10000001, not from 0 to 10000000"),
        ("currency", "XXX", 'currency is "XXX", not one of EUR'),
        ("currency", "eur", "currency is"),
        ("sku", "", "sku is"),
        ("sku", "x" * 201, "sku is"),
        ("sku", "a\tb", 'sku is "a\\tb", not 1 to 200 visible characters'),
        ("warehouse", "", "warehouse is"),
    ],
)
def test_a_bad_value_in_csv_is_named(column: str, value: str, says: str) -> None:
    row = {**GOOD, column: value}
    with pytest.raises(BadRowError) as bad:
        csv_reader(HEADER, EUROS)(",".join(str(row[name]) for name in COLUMNS))
    assert says in str(bad.value)
    assert len(str(bad.value)) < 200


@pytest.mark.parametrize("line", ["TEA,250,EUR,1250,east", "TEA,250,EUR,1250,east,1,1", '"TEA,250,EUR,1250,east,1', ""])
def test_a_row_of_another_width_is_bad(line: str) -> None:
    with pytest.raises(BadRowError):
        csv_reader(HEADER, EUROS)(line)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("price", 12.5),
        ("price", 12.0),
        ("price", True),
        ("price", "12"),
        ("price", None),
        ("price", 10**400),
        ("quantity", -1),
        ("weight", []),
        ("currency", ["EUR"]),
        ("currency", {}),
        ("sku", 7),
        ("sku", "a\0b"),
        ("sku", "\ud800"),
        ("warehouse", None),
    ],
)
def test_a_bad_value_in_json_is_named(column: str, value: Any) -> None:
    with pytest.raises(BadRowError, match=f"^{column} is ") as bad:
        json_reader(EUROS)(json.dumps({**GOOD, column: value}))
    assert len(str(bad.value)) < 200


@pytest.mark.parametrize(
    "line", ["", "[]", "7", "null", "{", '{"sku": "TEA"}', json.dumps({**GOOD, "more": 1}), "[" * 9000]
)
def test_a_line_that_is_no_row_is_bad(line: str) -> None:
    with pytest.raises(BadRowError):
        json_reader(EUROS)(line)


@given(st.one_of(st.text(), st.lists(st.text(max_size=8), min_size=6, max_size=6).map(",".join)))
def test_no_text_does_anything_but_make_a_row_or_a_reason(line: str) -> None:
    read: Callable[[str], Row]
    for read in (csv_reader(HEADER, EUROS), json_reader(EUROS)):
        reason = ""
        try:
            read(line)
        except BadRowError as bad:
            reason = str(bad)
        assert reason.isprintable()
