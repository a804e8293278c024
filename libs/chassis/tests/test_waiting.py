import itertools
from collections.abc import Iterator

import pytest

from chassis.testing.ports import free_ports
from chassis.testing.programs import program
from chassis.testing.waiting import eventually


async def test_the_first_true_answer_is_returned() -> None:
    answers: Iterator[object] = iter([None, 0, "", [], "yes", "too late"])
    assert await eventually(lambda: next(answers)) == "yes"


async def test_a_coroutine_may_ask_and_assert() -> None:
    count = itertools.count()

    async def check() -> str:
        assert next(count) > 3
        return "held"

    assert await eventually(check) == "held"


async def test_what_never_holds_fails_with_the_last_answer() -> None:
    with pytest.raises(AssertionError, match=r"still \[\] after 0.05 s"):
        await eventually(list[int], timeout=0.05)


async def test_what_never_holds_fails_with_the_last_assertion() -> None:
    count = itertools.count(1)

    def check() -> bool:
        raise AssertionError(f"attempt {next(count)}")

    with pytest.raises(AssertionError) as failed:
        await eventually(check, timeout=0.05)
    assert str(failed.value) == f"attempt {next(count) - 1}"


async def test_another_error_ends_the_waiting_at_once() -> None:
    count = itertools.count(1)

    def check() -> bool:
        raise LookupError(f"attempt {next(count)}")

    with pytest.raises(LookupError, match="attempt 1"):
        await eventually(check)


def test_free_ports_are_distinct() -> None:
    assert len(set(free_ports(20))) == 20


def test_programs_are_found_or_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert program("temporal").endswith("temporal")
    with pytest.raises(FileNotFoundError, match="no-such-program is neither in"):
        program("no-such-program")
