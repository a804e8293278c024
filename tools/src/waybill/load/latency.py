"""Latencies in HDR histograms: three digits from a microsecond to some hours, in memory that does not grow."""

from collections.abc import Iterable, Mapping, Sequence

from hdrh.histogram import HdrHistogram

LOWEST_MICROSECONDS = 1
HIGHEST_MICROSECONDS = 6 * 3600 * 1_000_000
DIGITS = 3
PERCENTILES = (50.0, 90.0, 95.0, 99.0, 99.9)
MOST_STRETCHES, LEAST_STRETCHES = 60, 8
"""Of a chart of percentiles over time. With the least, what lasts a third of the time is still seen."""
ENOUGH = 20
"""Orders in a stretch, in the mean: of fewer a percentile says little."""


class Latencies:
    """One histogram."""

    def __init__(self, seconds: Iterable[float] = ()) -> None:
        """Begin with some latencies, if any."""
        self._histogram = HdrHistogram(LOWEST_MICROSECONDS, HIGHEST_MICROSECONDS, DIGITS)
        for each in seconds:
            self.record(each)

    def record(self, seconds: float) -> None:
        """Count one. What is out of range counts as the end of it."""
        microseconds = round(seconds * 1_000_000)
        self._histogram.record_value(min(max(microseconds, LOWEST_MICROSECONDS), HIGHEST_MICROSECONDS))

    @property
    def count(self) -> int:
        """How many there are."""
        return int(self._histogram.get_total_count())

    def percentile(self, percent: float) -> float | None:
        """Seconds under which that many of a hundred lie; None where there are none."""
        return self._histogram.get_value_at_percentile(percent) / 1_000_000 if self.count else None

    def summary(self) -> dict[str, float | int | None]:
        """Count, mean, percentiles and the greatest, in seconds."""
        if not self.count:
            return {"count": 0}
        figures: dict[str, float | int | None] = {
            "count": self.count,
            "mean": self._histogram.get_mean_value() / 1_000_000,
        }
        figures |= {f"p{percent:g}": self.percentile(percent) for percent in PERCENTILES}
        return figures | {"max": self._histogram.get_max_value() / 1_000_000}

    def encoded(self) -> str:
        """The whole histogram in HdrHistogram's own form, base64, microseconds: others can add it to theirs."""
        text: bytes = self._histogram.encode()
        return text.decode("ascii")


def stretch(times: Sequence[float]) -> float:
    """How long each stretch of a chart of percentiles is, so that enough orders are in one.

    Args:
        times: When they were to begin, seconds.

    Returns:
        Seconds: one, unless that were too many stretches, or too few orders in each.
    """
    # A hair more, or the last order would have a stretch of its own.
    longest = max(times, default=0.0) * (1 + 1e-9)
    wanted = longest * ENOUGH / max(len(times), 1)
    return max(1.0, longest / MOST_STRETCHES, min(wanted, longest / LEAST_STRETCHES))


def over_time(
    latencies: Iterable[tuple[float, float]], width: float, percents: Iterable[float] = (50.0, 99.0)
) -> Mapping[float, list[tuple[float, float]]]:
    """Percentiles of successive stretches of time.

    Args:
        latencies: Moment and latency of each order.
        width: Of a stretch.
        percents: Which percentiles.

    Returns:
        By percentile: middle of the stretch and latency; a stretch without an order has none.
    """
    stretches: dict[int, Latencies] = {}
    for moment, latency in latencies:
        stretches.setdefault(int(moment // width), Latencies()).record(latency)
    lines: dict[float, list[tuple[float, float]]] = {percent: [] for percent in percents}
    for number in sorted(stretches):
        for percent, line in lines.items():
            found = stretches[number].percentile(percent)
            if found is not None:
                line.append(((number + 0.5) * width, found))
    return lines
