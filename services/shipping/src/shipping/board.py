"""The coordinator's board: who has which tasks, and what follows from what is heard. No clock, no Temporal."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from shipping.picking import MAX_LEASE_SECONDS, MAX_PICKERS, Counts, Orders, Outcome, PickerStatus, Report

HAND = 5
"""Most tasks in a picker's hands: as many as one signal hands out."""

LOW = 2
"""A picker with so many or fewer gets more, so that it never waits for the coordinator."""


@dataclass(slots=True)
class Hand:
    """One picker, as the coordinator knows it; goes from run to run."""

    number: int
    tasks: list[str] = field(default_factory=list)
    paused: bool = False
    silent: bool = False
    """Whether it was not heard of for the lease. It gets nothing until it is."""
    lost: bool = True
    """Whether its workflow is not running: before its first start, and after it failed."""
    heard: datetime | None = None
    """When it reported, or got tasks into empty hands."""
    reports: int = 0
    """Sequence number of its newest report."""
    sequence: int = 0
    """Of its newest orders."""
    told: bool = True
    """Whether those were sent."""
    picked: int = 0
    starts: int = 0


@dataclass(slots=True)
class Board:
    """A wave; goes from run to run."""

    total: int
    done: int
    skipped: int
    already: int
    """What was done before this coordinator began."""
    started: datetime
    hands: list[Hand]
    waiting: list[str] = field(default_factory=list)
    """Known, undone, and in nobody's hands."""
    after: str = ""
    """The last task that was read from the table."""
    exhausted: bool = False
    """Whether all were read."""

    @classmethod
    def of(cls, counts: Counts, pickers: int, started: datetime) -> "Board":
        """The board of a wave that begins, or is taken up again."""
        done = counts.picked + counts.skipped
        return cls(counts.total, done, counts.skipped, done, started, [Hand(number + 1) for number in range(pickers)])

    @property
    def paused(self) -> bool:
        """Whether all pickers are paused."""
        return all(hand.paused for hand in self.hands)

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do, as far as the board knows."""
        return self.exhausted and not self.waiting and not any(hand.tasks for hand in self.hands)

    @property
    def hungry(self) -> bool:
        """Whether more tasks should be read from the table."""
        return not self.exhausted and len(self.waiting) < HAND * len(self.hands)

    @property
    def leases(self) -> bool:
        """Whether there is anyone whose silence would matter."""
        return any(hand.tasks for hand in self.hands)

    def read(self, tasks: list[str], *, last: bool) -> None:
        """Take in tasks from the table."""
        self.waiting.extend(tasks)
        self.after = tasks[-1] if tasks else self.after
        self.exhausted = last

    def again(self, counts: Counts) -> None:
        """Read the table from its beginning: it has tasks that the board does not know."""
        self.done, self.skipped, self.total = counts.picked + counts.skipped, counts.skipped, counts.total
        self.after, self.exhausted = "", False

    def take(self, report: Report, now: datetime) -> None:
        """Take in a report. Each task counts once, whoever reports it, however often."""
        if not 1 <= report.picker <= len(self.hands):
            return
        reporter = self.hands[report.picker - 1]
        if report.sequence > reporter.reports:
            reporter.reports, reporter.heard, reporter.silent = report.sequence, now, False
        for result in report.results:
            if not self._strike(result.task_id):
                continue
            self.done += 1
            self.skipped += result.outcome == Outcome.SKIPPED
            if result.picker is not None and 1 <= result.picker <= len(self.hands):
                self.hands[result.picker - 1].picked += 1

    def _strike(self, task: str) -> bool:
        """Take a task off the board.

        Returns:
            Whether it was there.
        """
        for holder in (self.waiting, *(hand.tasks for hand in self.hands)):
            if task in holder:
                holder.remove(task)
                return True
        return False

    def hand_out(self, now: datetime) -> None:
        """Give waiting tasks to those who have few, the same number to each."""
        waiting = deque(self.waiting)
        low = [hand for hand in self._able() if len(hand.tasks) <= LOW]
        while waiting and low:
            hand = min(low, key=lambda hand: len(hand.tasks))
            if len(hand.tasks) >= HAND:
                break
            if not hand.tasks:
                hand.heard = now
            hand.tasks.append(waiting.popleft())
            hand.told = False
        self.waiting = list(waiting)

    def _able(self) -> Iterable[Hand]:
        return (hand for hand in self.hands if not (hand.paused or hand.silent or hand.lost))

    def to_start(self) -> list[Hand]:
        """Pickers to start: all at the beginning; later those that failed, when no other could go on."""
        fresh = [hand for hand in self.hands if hand.starts == 0]
        if fresh or self.paused or self.finished or any(not hand.lost and not hand.paused for hand in self.hands):
            return fresh
        return [hand for hand in self.hands if hand.lost and not hand.paused]

    def begins(self, hand: Hand) -> None:
        """A picker's workflow runs."""
        hand.starts += 1
        hand.lost = hand.silent = False
        # What it should know before it gets tasks: that it is paused.
        hand.told = not hand.paused

    def lose(self, number: int, start: int) -> None:
        """A picker's workflow ended: others get its tasks. Late word of an earlier start is none of this one."""
        hand = self.hands[number - 1]
        if hand.lost or hand.starts != start:
            return
        hand.lost, hand.told = True, True
        self._take_back(hand)

    def lapse(self, now: datetime, lease: timedelta) -> None:
        """Take the tasks of those back of whom nothing was heard for the lease.

        One that is merely slow learns of it, stops, answers, and is given tasks again.
        """
        for hand in self.hands:
            if hand.tasks and hand.heard is not None and now - hand.heard >= lease:
                hand.silent, hand.told = True, False
                self._take_back(hand)

    def _take_back(self, hand: Hand) -> None:
        self.waiting[:0] = hand.tasks
        hand.tasks = []

    def pause(self, number: int | None, *, paused: bool) -> None:
        """Pause one or all, or let them go on. What is in paused hands goes back; what is being picked is finished."""
        for hand in self.hands if number is None else [self.hands[number - 1]]:
            if hand.paused == paused:
                continue
            hand.paused, hand.told = paused, hand.lost
            if paused:
                self._take_back(hand)

    def orders(self, hand: Hand, now_us: int, *, dismissed: bool = False) -> Orders:
        """All that a picker shall do now, as the newest word.

        Args:
            hand: The picker.
            now_us: The time in microseconds, so that a coordinator that was started anew is newer too.
            dismissed: Whether the work is over.
        """
        hand.sequence, hand.told = max(hand.sequence + 1, now_us), True
        return Orders(hand.sequence, tuple(hand.tasks), held=hand.paused, answer=hand.silent, dismissed=dismissed)

    def status(self, hand: Hand) -> PickerStatus:
        """One line of the status."""
        if hand.lost:
            not_begun = "paused" if hand.paused else "idle"
            state = "lost" if hand.starts else not_begun
        elif hand.silent:
            state = "silent"
        elif hand.paused:
            state = "paused"
        else:
            state = "working" if hand.tasks else "idle"
        return PickerStatus(hand.number, state, len(hand.tasks), hand.picked, max(hand.starts - 1, 0))


@dataclass(frozen=True, slots=True)
class WaveRequest:
    """Pick a warehouse's booked parcels.

    Raises:
        ValueError: If there are no pickers, or too many, or no lease.
    """

    wave_id: str
    warehouse: str
    pickers: int
    lease_seconds: float = 60.0
    """How long a picker with tasks may be silent; longer than a pick takes with an attempt that dies."""
    board: Board | None = None
    """What the run before left."""

    def __post_init__(self) -> None:
        if not (self.wave_id and self.warehouse):
            raise ValueError("a wave has an id and a warehouse")
        if not 1 <= self.pickers <= MAX_PICKERS:
            raise ValueError(f"a wave has 1 to {MAX_PICKERS} pickers, not {self.pickers}")
        if not 0 < self.lease_seconds <= MAX_LEASE_SECONDS:
            raise ValueError(f"a lease is over 0 and up to {MAX_LEASE_SECONDS} seconds")
