"""One line of a supplier's list, read strictly. Pure: text in, a row or a reason out."""

import csv
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inventory.contract import MAX_NAME

COLUMNS = ("sku", "weight", "currency", "price", "warehouse", "quantity")
"""What a row says: grams and minor units of one unit, and the units that are on hand in a warehouse."""

MAX_WEIGHT = 1_000_000
"""Most grams of one unit: a tonne."""
MAX_PRICE = 10**9
"""Most minor units of one unit's price."""
MAX_ON_HAND = 10_000_000
"""Most units of one SKU that a list may say are in one warehouse."""

_LIMITS = {"weight": (1, MAX_WEIGHT), "price": (1, MAX_PRICE), "quantity": (0, MAX_ON_HAND)}
_DIGITS = re.compile(r"[0-9]{1,18}")
_SHOWN = 40
"""Characters shown of a value that is wrong."""


class NotAListError(Exception):
    """What was sent is no list at all, and none of it is taken. The text says why, with the line."""


class BadRowError(Exception):
    """A row that cannot be used. The text says why."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row that can be used, as far as it can be told by itself."""

    sku: str
    weight: int
    currency: str
    price: int
    warehouse: str
    quantity: int


Read = Callable[[str], Row]


def csv_reader(header: str, currencies: frozenset[str]) -> Read:
    """How to read the lines below a header.

    Args:
        header: First line of the file. It names each of ``COLUMNS`` once, in any order, and nothing else.
        currencies: Those in which goods are sold.

    Raises:
        NotAListError: If it is no such header.
    """
    try:
        names = [name.strip() for name in _fields(header.removeprefix("\ufeff"))]
    except BadRowError as error:
        raise NotAListError(f"line 1: {error}") from error
    if sorted(names) != sorted(COLUMNS):
        raise NotAListError(f"line 1: the header must be {','.join(COLUMNS)}, in any order")

    def read(line: str) -> Row:
        fields = _fields(line)
        if len(fields) != len(names):
            raise BadRowError(f"{len(fields)} fields, not {len(names)}")
        return _row(dict(zip(names, fields, strict=True)), _number_in_text, currencies)

    return read


def json_reader(currencies: frozenset[str]) -> Read:
    """How to read lines of JSON, each an object with the members ``COLUMNS`` and no others.

    Args:
        currencies: Those in which goods are sold.
    """

    def read(line: str) -> Row:
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise BadRowError(f"no JSON: {str(error)[:100]}") from error
        if not isinstance(found, dict) or set(found) != set(COLUMNS):
            raise BadRowError(f"must be an object with {', '.join(COLUMNS)} and nothing else")
        return _row(found, _number_in_json, currencies)

    return read


def _fields(line: str) -> Sequence[str]:
    try:
        rows = list(csv.reader([line], strict=True))
    except csv.Error as error:
        raise BadRowError(f"no CSV: {error}") from error
    return rows[0] if rows else []


def _row(found: Mapping[str, Any], number: Callable[[str, Any], int], currencies: frozenset[str]) -> Row:
    currency = found["currency"]
    if not isinstance(currency, str) or currency not in currencies:
        raise BadRowError(f"currency is {_shown(currency)}, not one of {', '.join(sorted(currencies))}")
    return Row(
        sku=_name("sku", found["sku"]),
        weight=number("weight", found["weight"]),
        currency=currency,
        price=number("price", found["price"]),
        warehouse=_name("warehouse", found["warehouse"]),
        quantity=number("quantity", found["quantity"]),
    )


def _name(column: str, value: Any) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_NAME or not value.isprintable():
        raise BadRowError(f"{column} is {_shown(value)}, not 1 to {MAX_NAME} visible characters")
    return value


def _number_in_text(column: str, value: str) -> int:
    if _DIGITS.fullmatch(value) is None:
        raise BadRowError(f"{column} is {_shown(value)}, not a whole number{_between(column)}")
    return _limited(column, int(value))


def _number_in_json(column: str, value: Any) -> int:
    if type(value) is not int:
        raise BadRowError(f"{column} is {_shown(value)}, not a whole number{_between(column)}")
    return _limited(column, value)


def _limited(column: str, value: int) -> int:
    low, high = _LIMITS[column]
    if not low <= value <= high:
        raise BadRowError(f"{column} is {_shown(value)}, not{_between(column)}")
    return value


def _between(column: str) -> str:
    low, high = _LIMITS[column]
    return f" from {low} to {high}"


def _shown(value: Any) -> str:
    """The beginning of a value, without what a terminal would obey."""
    text = "".join(sign if sign.isprintable() else "\ufffd" for sign in json.dumps(value, ensure_ascii=False))
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
