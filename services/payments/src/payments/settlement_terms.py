"""What a settlement is, and which one is due."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

CUTOFF = time(18, tzinfo=UTC)
"""When a weekday's settlement is due. It takes what was booked before."""

_SATURDAY = 5


@dataclass(frozen=True, slots=True)
class SettleRequest:
    """Which settlement to make.

    Raises:
        ValueError: If the date is no weekday's, in the form 2026-11-24.
    """

    date: str = ""
    """Empty: the latest that is due."""

    def __post_init__(self) -> None:
        if self.date:
            day_of(self.date)


@dataclass(frozen=True, slots=True)
class Due:
    """A settlement to be made."""

    date: str
    cutoff: datetime


@dataclass(frozen=True, slots=True)
class SettlementLine:
    """What was captured and refunded in one currency by one method."""

    currency: str
    method: str
    captured: int
    """Minor units."""
    captures: int
    refunded: int
    """Minor units."""
    refunds: int


@dataclass(frozen=True, slots=True)
class Settlement:
    """The stored document of a day: what was booked since the one before."""

    date: str
    cutoff: datetime
    made_at: datetime
    lines: list[SettlementLine] = field(default_factory=list)


def day_of(text: str) -> date:
    """The weekday that a text names.

    Raises:
        ValueError: If it is none.
    """
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError as error:
        raise ValueError("date must be of the form 2026-11-24") from error
    if day.isoformat() != text:
        raise ValueError("date must be of the form 2026-11-24")
    if day.weekday() >= _SATURDAY:
        raise ValueError("date must be a weekday: a weekend's bookings are in Monday's settlement")
    return day


def due_on(day: date) -> Due:
    """The settlement of a weekday."""
    return Due(day.isoformat(), datetime.combine(day, CUTOFF))


def latest_due(moment: datetime) -> Due:
    """The latest weekday's settlement whose cutoff has been reached."""
    day = moment.astimezone(UTC).date()
    while day.weekday() >= _SATURDAY or datetime.combine(day, CUTOFF) > moment:
        day -= timedelta(days=1)
    return due_on(day)
