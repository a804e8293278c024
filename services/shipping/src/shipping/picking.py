"""Pick waves: what coordinator, pickers, store and API say to each other.

Orders and reports carry states, not steps: each says all that stands, and the newest counts. One that comes twice, or
after a newer one, does no harm.
"""

from dataclasses import dataclass
from enum import StrEnum

from chassis.progress import Progress

WAVE, PICKER = "shipping.PickWave", "shipping.Picker"
"""Names of the workflows."""

PAUSE, RESUME = "pause", "resume"
"""Names of the coordinator's updates, with a ``Choice``; they answer with a ``WaveStatus``."""

STATUS = "status"
"""Name of the coordinator's query, which answers with a ``WaveStatus``."""

REPORT = "report"
"""Name of the signal, with a ``Report``, by which a picker tells its coordinator; a child can be asked nothing."""

ORDERS = "orders"
"""Name of the signal, with ``Orders``, by which the coordinator tells a picker."""

NOT_POSSIBLE = "not_possible"
"""Type of the application error with which a pause or resume is refused."""

MAX_PICKERS = 50
"""Most pickers of a wave: a hundred pending children and signals are far from what one workflow bears."""

MAX_LEASE_SECONDS = 24 * 3600


class Outcome(StrEnum):
    """What became of a pick task."""

    PICKED = "picked"
    SKIPPED = "skipped"
    """The parcel was cancelled before anyone picked it."""


@dataclass(frozen=True, slots=True)
class Picked:
    """The end of one task, by the table: whoever asks, however often, gets the same."""

    task_id: str
    outcome: Outcome
    picker: int | None = None
    """Who picked it; None if nobody did."""


@dataclass(frozen=True, slots=True)
class Orders:
    """All that a picker shall do."""

    sequence: int
    """Grows with each; also over coordinators that were terminated and started again."""
    tasks: tuple[str, ...] = ()
    held: bool = False
    """Whether to pick nothing for now."""
    answer: bool = False
    """Whether to report even if there is nothing to report: the coordinator has not heard for long."""
    dismissed: bool = False
    """Whether to go home."""


@dataclass(frozen=True, slots=True)
class Report:
    """Which of its orders a picker has done."""

    picker: int
    sequence: int
    """Grows with each."""
    results: tuple[Picked, ...] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """One picker, or all.

    Raises:
        ValueError: If the number is not from 1 to ``MAX_PICKERS``.
    """

    picker: int | None = None
    """None for all."""

    def __post_init__(self) -> None:
        if self.picker is not None and not 1 <= self.picker <= MAX_PICKERS:
            raise ValueError(f"a picker has a number from 1 to {MAX_PICKERS}, not {self.picker}")


@dataclass(frozen=True, slots=True)
class Pick:
    """One task for one picker: the argument of the activity."""

    wave_id: str
    task_id: str
    picker: int


@dataclass(frozen=True, slots=True)
class PickerRequest:
    """Work for a wave until dismissed."""

    wave_id: str
    number: int
    """From 1."""
    orders: Orders | None = None
    """What the run before left to do."""
    done: tuple[Picked, ...] = ()
    """What of that it had done."""
    reports: int = 0
    """Sequence number of its last report."""


@dataclass(frozen=True, slots=True)
class Counts:
    """A wave by the table."""

    total: int
    picked: int
    skipped: int
    by_picker: tuple[tuple[int, int], ...] = ()
    """How many each picker picked."""

    @property
    def waiting(self) -> int:
        """Tasks that nobody has done."""
        return self.total - self.picked - self.skipped


@dataclass(frozen=True, slots=True)
class PickerStatus:
    """One picker, as the coordinator knows it."""

    picker: int
    state: str
    """``idle``, ``working``, ``paused``, ``silent`` (beyond the lease) or ``lost`` (its workflow ended)."""
    tasks: int
    """In its hands."""
    picked: int
    restarts: int
    """How often its workflow was started again."""


@dataclass(frozen=True, slots=True)
class WaveStatus:
    """A wave under way."""

    wave_id: str
    paused: bool
    """All of it; single pickers may be paused besides."""
    progress: Progress
    """``failed`` are the skipped ones."""
    pickers: tuple[PickerStatus, ...] = ()


def wave_workflow_id(wave_id: str) -> str:
    """Workflow id of a wave's coordinator."""
    return f"pick-wave:{wave_id}"


def picker_workflow_id(wave_id: str, number: int) -> str:
    """Workflow id of one picker, from 1."""
    return f"picker:{wave_id}:{number}"


def task_id(order_id: str, parcel: int) -> str:
    """A parcel's pick task: there is one, over all waves."""
    return f"pick:{order_id}:{parcel}"
