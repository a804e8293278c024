"""How long a backlog takes to drain after a step: under the load that made it, and after that load."""

from waybill.load.step import DOUBLED, HALVED, READY, drains
from waybill.load.watch import Mark

MARKS = {
    name: Mark(at, {})
    for name, at in (
        (DOUBLED, 10.0),
        ("scaling to 2", 20.0),
        (f"2 {READY}", 22.0),
        (HALVED, 40.0),
        ("1 replica left", 44.0),
    )
}


def told(line: list[tuple[float, float]], marks: dict[str, Mark] = MARKS) -> dict[str, tuple[float | None, str]]:
    return {each.key: (each.seconds, each.words) for each in drains(line, marks, end=60.0)}


def test_a_backlog_that_only_less_load_drains_counts_from_when_the_load_was_halved() -> None:
    line = [(float(at), 30.0 if 12 <= at < 50 else 0.0) for at in range(61)]
    assert told(line) == {
        "doubled": (None, "not before the load was halved"),
        "ready": (None, "not before the load was halved"),
        "halved": (10.0, "10"),
    }


def test_a_backlog_that_new_replicas_drain_is_gone_when_the_load_is_halved() -> None:
    line = [(float(at), 30.0 if 12 <= at < 35 else 0.0) for at in range(61)]
    assert told(line) == {"doubled": (25.0, "25"), "ready": (13.0, "13"), "halved": (0.0, "0")}


def test_a_backlog_that_nothing_drains_is_there_at_the_end() -> None:
    line = [(float(at), 30.0) for at in range(61)]
    assert told(line)["halved"] == (None, "not before the end")


def test_a_step_that_somebody_stopped_tells_of_the_moments_that_there_were() -> None:
    line = [(float(at), 0.0) for at in range(61)]
    assert told(line, {DOUBLED: MARKS[DOUBLED]}).keys() == {"doubled"}
