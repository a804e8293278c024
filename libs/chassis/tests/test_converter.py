import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temporalio.api.common.v1 import Payload
from temporalio.exceptions import ApplicationError

from chassis.converter import DATA_CONVERTER, INVALID_INPUT

CONVERTER = DATA_CONVERTER.payload_converter


class Colour(StrEnum):
    RED = "red"


class Size(IntEnum):
    SMALL = 1


@dataclasses.dataclass(frozen=True)
class Part:
    count: int
    name: str = "part"


@dataclasses.dataclass(frozen=True)
class Whole:
    part: Part
    parts: tuple[Part, ...] = ()
    at: datetime | None = None
    colour: Colour = Colour.RED
    sizes: dict[str, int] = dataclasses.field(default_factory=dict)
    id: UUID | None = None
    share: float = 0.5
    sure: bool = True


def read(hint: Any, json: str) -> Any:
    payload = Payload(metadata={"encoding": b"json/plain"}, data=json.encode())
    return CONVERTER.from_payloads([payload], [hint])[0]


def refusal(hint: Any, json: str) -> str:
    with pytest.raises(ApplicationError) as refused:
        read(hint, json)
    assert refused.value.type == INVALID_INPUT
    assert refused.value.non_retryable
    return refused.value.message


@pytest.mark.parametrize(
    ("hint", "json"),
    [
        (int, "true"),
        (int, "1.0"),
        (int, "1.9"),
        (int, '"1"'),
        (int, "null"),
        (bool, "1"),
        (bool, '"true"'),
        (str, "1"),
        (float, "true"),
        (float, '"1.5"'),
        (Part, "null"),
        (Part, "[]"),
        (Part, "{}"),
        (Part, '{"count": 1.5}'),
        (Part, '{"count": true}'),
        (Part, '{"count": null}'),
        (Part, '{"count": 1, "name": 2}'),
        (Whole, '{"part": {"count": "1"}}'),
        (Whole, '{"part": {"count": 1}, "parts": [{"count": 1}, {"count": 1.5}]}'),
        (Whole, '{"part": {"count": 1}, "parts": {"count": 1}}'),
        (Whole, '{"part": {"count": 1}, "at": "yesterday"}'),
        (Whole, '{"part": {"count": 1}, "at": 5}'),
        (Whole, '{"part": {"count": 1}, "colour": "blue"}'),
        (Whole, '{"part": {"count": 1}, "sizes": {"a": true}}'),
        (Whole, '{"part": {"count": 1}, "id": "no uuid"}'),
        (Size, "true"),
        (Size, "2"),
        (list[str], '"letters"'),
        (list[str], '{"a": 1}'),
        (tuple[int, str], '[1, "a", 2]'),
        (tuple[int, str], "[1]"),
        (int | None, "true"),
        (int | str, "1.5"),
        (dict[str, int], "[]"),
        (int, "{"),
        (int, ""),
        (int, "9" * 5000),
    ],
)
def test_what_does_not_fit_is_refused_for_good(hint: Any, json: str) -> None:
    assert refusal(hint, json) != ""


def test_a_refusal_says_where_and_why() -> None:
    said = refusal(Whole, '{"part": {"count": 1}, "parts": [{"count": 1.5}]}')
    assert "field parts" in said
    assert "index 0" in said
    assert "field count" in said
    assert said.endswith("expected int, got float")


@pytest.mark.parametrize(
    ("hint", "json", "value"),
    [
        (int, "1", 1),
        (float, "1", 1.0),
        (float, "1.5", 1.5),
        (bool, "false", False),
        (int | None, "null", None),
        (int | str, '"a"', "a"),
        (Size, "1", Size.SMALL),
        (list[int], "[1, 2]", [1, 2]),
        (tuple[int, str], '[1, "a"]', (1, "a")),
        (dict[str, int], '{"a": 1}', {"a": 1}),
        (Part, '{"count": 1, "later": "fields are no matter"}', Part(1)),
        (Any, "1.5", 1.5),
    ],
)
def test_what_fits_is_taken(hint: Any, json: str, value: Any) -> None:
    read_back = read(hint, json)
    assert read_back == value
    assert type(read_back) is type(value)


PARTS = st.builds(Part, st.integers(), st.text())
WHOLES = st.builds(
    Whole,
    PARTS,
    st.lists(PARTS).map(tuple),
    st.none() | st.datetimes(timezones=st.just(UTC)),
    st.just(Colour.RED),
    st.dictionaries(st.text(), st.integers()),
    st.none() | st.uuids(),
    st.floats(allow_nan=False),
    st.booleans(),
)


@given(WHOLES)
def test_what_we_write_we_read(whole: Whole) -> None:
    payloads = CONVERTER.to_payloads([whole])
    assert CONVERTER.from_payloads(payloads, [Whole]) == [whole]


@pytest.mark.parametrize("hint", [int, str, bool, Part, list[int]])
@pytest.mark.parametrize("value", [None, b"raw"], ids=["null", "bytes"])
def test_null_and_raw_bytes_are_held_against_the_type(hint: Any, value: Any) -> None:
    with pytest.raises(ApplicationError):
        CONVERTER.from_payloads(CONVERTER.to_payloads([value]), [hint])


@pytest.mark.parametrize(
    ("hint", "value"), [(type(None), None), (int | None, None), (Part | None, None), (bytes, b"raw")]
)
def test_null_and_raw_bytes_are_taken_where_the_type_says_so(hint: Any, value: Any) -> None:
    assert CONVERTER.from_payloads(CONVERTER.to_payloads([value]), [hint]) == [value]


def test_an_encoding_that_nobody_knows_is_refused_for_good() -> None:
    payloads: Sequence[Payload] = [Payload(metadata={"encoding": b"json/secret"}, data=b"1")]
    with pytest.raises(ApplicationError) as refused:
        CONVERTER.from_payloads(payloads, [int])
    assert refused.value.type == INVALID_INPUT


def test_without_types_everything_is_what_json_says() -> None:
    assert CONVERTER.from_payloads(CONVERTER.to_payloads([1.5, True, None, [1]])) == [1.5, True, None, [1]]
