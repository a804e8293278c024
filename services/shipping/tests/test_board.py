"""The coordinator's board, without clock or server."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from shipping.board import HAND, Board
from shipping.picking import Counts, Outcome, Picked, Report

from .world import NOON

LEASE = timedelta(seconds=60)


def board(tasks: int, pickers: int) -> Board:
    made = Board.of(Counts(tasks, 0, 0), pickers, NOON)
    made.read([f"t{number}" for number in range(tasks)], last=True)
    for hand in made.to_start():
        made.begins(hand)
    return made


def did(picker: int, sequence: int, *tasks: str) -> Report:
    return Report(picker, sequence, tuple(Picked(task, Outcome.PICKED, picker) for task in tasks))


def test_each_gets_the_same_number_and_no_more_than_a_hand_full() -> None:
    made = board(100, 4)
    made.hand_out(NOON)
    assert [len(hand.tasks) for hand in made.hands] == [HAND] * 4
    few = board(6, 4)
    few.hand_out(NOON)
    assert sorted(len(hand.tasks) for hand in few.hands) == [1, 1, 2, 2]


def test_a_result_counts_once_whoever_reports_it_however_often() -> None:
    made = board(2, 2)
    made.hand_out(NOON)
    for report in (did(1, 1, "t0"), did(1, 1, "t0"), did(2, 1, "t0"), did(99, 1, "t0")):
        made.take(report, NOON)
    assert (made.done, made.hands[0].picked, made.hands[1].picked) == (1, 1, 0)


def test_a_result_of_a_picker_that_there_is_not_counts_for_nobody() -> None:
    made = board(3, 2)
    for number, picker in enumerate((-1, 0, 3)):
        made.take(Report(1, number, (Picked(f"t{number}", Outcome.PICKED, picker),)), NOON)
    assert (made.done, [hand.picked for hand in made.hands]) == (3, [0, 0])


def test_a_lost_pickers_tasks_go_to_the_others() -> None:
    made = board(4, 2)
    made.hand_out(NOON)
    held = set(made.hands[0].tasks)
    made.lose(1, start=1)
    made.hand_out(NOON)
    assert held <= set(made.hands[1].tasks)
    assert made.to_start() == []


def test_the_last_picker_that_is_lost_is_started_again() -> None:
    made = board(4, 2)
    made.hand_out(NOON)
    made.lose(1, start=1)
    made.lose(2, start=1)
    assert [hand.number for hand in made.to_start()] == [1, 2]
    for hand in made.to_start():
        made.begins(hand)
    # Late word of the first start's end is none of the second's.
    made.lose(1, start=1)
    assert not made.hands[0].lost


def test_a_lost_picker_that_is_paused_is_not_started_again() -> None:
    made = board(4, 2)
    made.pause(1, paused=True)
    made.lose(1, start=1)
    made.lose(2, start=1)
    assert [hand.number for hand in made.to_start()] == [2]


def test_silence_beyond_the_lease_takes_the_tasks_back_until_the_picker_answers() -> None:
    made = board(4, 2)
    made.hand_out(NOON)
    late = NOON + LEASE
    made.take(did(2, 1, made.hands[1].tasks[0]), late)
    made.lapse(late, LEASE)
    assert (made.hands[0].silent, made.hands[1].silent) == (True, False)
    orders = made.orders(made.hands[0], 1)
    assert (orders.tasks, orders.answer) == ((), True)
    made.hand_out(late)
    assert (len(made.hands[0].tasks), len(made.hands[1].tasks)) == (0, 3)
    # A report that is older than the newest it made is no sign of life.
    made.take(did(1, 0), late)
    assert made.hands[0].silent
    made.take(did(1, 1), late)
    assert not made.hands[0].silent


def test_who_gets_tasks_after_a_long_rest_is_not_silent() -> None:
    made = board(1, 1)
    made.hand_out(NOON + 10 * LEASE)
    made.lapse(NOON + 10 * LEASE, LEASE)
    assert not made.hands[0].silent


def test_paused_hands_are_empty_and_one_or_all_go_on() -> None:
    made = board(6, 3)
    made.hand_out(NOON)
    made.pause(None, paused=True)
    made.hand_out(NOON)
    assert (made.paused, [len(hand.tasks) for hand in made.hands], len(made.waiting)) == (True, [0, 0, 0], 6)
    assert made.to_start() == []
    made.pause(2, paused=False)
    made.hand_out(NOON)
    assert (made.paused, [len(hand.tasks) for hand in made.hands]) == (False, [0, 5, 0])
    assert [made.orders(hand, 1).held for hand in made.hands] == [True, False, True]
    made.pause(None, paused=False)
    made.hand_out(NOON)
    assert not made.waiting


def test_orders_grow_also_when_a_coordinator_begins_anew() -> None:
    first, second = board(1, 1), board(1, 1)
    earlier = first.orders(first.hands[0], 1000)
    again = first.orders(first.hands[0], 1000)
    later = second.orders(second.hands[0], 2000)
    assert earlier.sequence < again.sequence < later.sequence


def test_a_result_that_comes_after_its_task_was_taken_back_counts() -> None:
    made = board(1, 2)
    made.hand_out(NOON)
    made.pause(None, paused=True)
    made.take(did(1, 1, "t0"), NOON)
    assert made.finished
    assert made.done == 1


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("lose"), st.integers(1, 3)),
        st.tuples(st.just("report"), st.integers(1, 3)),
        st.tuples(st.just("repeat"), st.integers(1, 3)),
        st.tuples(st.just("pause"), st.integers(1, 3)),
        st.tuples(st.just("resume"), st.integers(1, 3)),
        st.tuples(st.just("lapse"), st.integers(1, 3)),
    ),
    max_size=60,
)


@given(STEPS)
def test_whatever_happens_no_task_is_lost_or_in_two_places(steps: list[tuple[str, int]]) -> None:
    made, now, sequence, said = board(20, 3), NOON, 0, Report(1, 0)
    for step, number in steps:
        sequence, now = sequence + 1, now + timedelta(seconds=20)
        hand = made.hands[number - 1]
        match step:
            case "lose":
                made.lose(number, hand.starts)
            case "report":
                said = did(number, sequence, *hand.tasks[:1])
                made.take(said, now)
            case "repeat":
                made.take(said, now)
            case "pause" | "resume":
                made.pause(number, paused=step == "pause")
            case "lapse":
                made.lapse(now, LEASE)
        for fresh in made.to_start():
            made.begins(fresh)
        made.hand_out(now)
        everywhere = [*made.waiting, *(task for hand in made.hands for task in hand.tasks)]
        assert len(everywhere) == len(set(everywhere))
        assert len(everywhere) + made.done == 20
