import dataclasses
import json
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from chassis.progress import Progress

BEGUN = datetime(2026, 1, 2, tzinfo=UTC)


def at(seconds: float, *, done: int, total: int | None = 100, failed: int = 0, already: int = 0) -> Progress:
    now = BEGUN + timedelta(seconds=seconds)
    return Progress.of("rows", done=done, total=total, failed=failed, started=BEGUN, now=now, already=already)


def test_a_moment_in_the_middle() -> None:
    assert at(10, done=40, failed=3) == Progress(
        phase="rows", done=40, total=100, failed=3, elapsed_seconds=10, rate=4, eta_seconds=15, percent=40
    )


def test_before_the_first_item_and_the_first_second_nothing_is_promised() -> None:
    first = at(0, done=0)
    assert (first.rate, first.eta_seconds, first.percent) == (0, None, 0)


def test_at_the_end_nothing_is_left_even_where_nothing_was_to_do() -> None:
    assert (at(5, done=100).eta_seconds, at(5, done=100).percent) == (0, 100)
    assert (at(0, done=0, total=0).eta_seconds, at(0, done=0, total=0).percent) == (0, 100)


def test_while_the_total_is_unknown_there_is_a_rate_and_no_share() -> None:
    moment = at(10, done=40, total=None)
    assert (moment.rate, moment.eta_seconds, moment.percent) == (4, None, None)


def test_what_was_through_before_it_was_taken_up_again_does_not_count_as_speed() -> None:
    assert at(10, done=60, already=40).rate == 2


@given(
    seconds=st.floats(-10, 1e9),
    done=st.integers(-5, 10**9),
    total=st.none() | st.integers(0, 10**9),
    failed=st.integers(-5, 10**9),
    already=st.integers(0, 10**9),
)
def test_whatever_it_is_told_it_can_be_shown(
    seconds: float, done: int, total: int | None, failed: int, already: int
) -> None:
    moment = at(seconds, done=done, total=total, failed=failed, already=already)
    assert 0 <= moment.failed <= moment.done
    assert moment.rate >= 0
    assert moment.elapsed_seconds >= 0
    assert moment.percent is None or 0 <= moment.percent <= 100
    assert moment.eta_seconds is None or moment.eta_seconds >= 0
    assert json.loads(json.dumps(dataclasses.asdict(moment), allow_nan=False))["phase"] == "rows"
