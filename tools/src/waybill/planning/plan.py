"""A whole plan: forecasts for some rates from one run, and how near another run came to what was predicted."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from waybill.load.report.model import Document, Table
from waybill.planning import tables
from waybill.planning.compare import Comparison, compare
from waybill.planning.compare import section as comparison_section
from waybill.planning.compare import tables as comparison_tables
from waybill.planning.forecast import Forecast, Options, forecast, warnings
from waybill.planning.measured import PlanError
from waybill.planning.reports import PLAN, Run

MOST_RATE = 1_000_000.0


@dataclass(frozen=True)
class Plan:
    """What is told.

    Attributes:
        run: That it is from.
        options: How much headroom.
        forecasts: By the rate, lowest first.
        check: A run that is set beside it.
        comparison: With that run.
    """

    run: Run
    options: Options
    forecasts: Sequence[Forecast]
    check: Run | None = None
    comparison: Comparison | None = None

    @property
    def warnings(self) -> list[str]:
        """What one must know before believing it."""
        return [*self.run.warnings, *warnings(self.forecasts, self.run.costs)]

    @property
    def check_warnings(self) -> list[str]:
        """What makes the two runs different, beside their rates; and what one must know of the second."""
        if self.check is None:
            return []
        names = ("machine", "versions", "shares", "target")
        said = [
            f"The runs differ in {name}: {getattr(self.run, name)} and {getattr(self.check, name)}."
            for name in names
            if _fixed(getattr(self.run, name)) != _fixed(getattr(self.check, name))
        ]
        if self.run.costs.delivered != self.check.costs.delivered:
            said.append("Parcels came to their ends in one of the runs only.")
        return [*said, *(f"Of the second run: {each}" for each in self.check.warnings)]

    def tables(self) -> list[Table]:
        """All of it, for a terminal."""
        made = [*tables.tables(self.forecasts, self.options), tables.per_order(self.run)]
        return made + (comparison_tables(self.comparison) if self.comparison is not None else [])

    def as_json(self) -> dict[str, Any]:
        """All of it, for a machine."""
        run = {**asdict(self.run), "warnings": list(self.run.warnings)}
        document: dict[str, Any] = {
            "run": run,
            "options": asdict(self.options),
            "plans": [_finite(asdict(each)) for each in self.forecasts],
            "warnings": self.warnings,
        }
        if self.check is not None and self.comparison is not None:
            document["check"] = {
                "report": self.check.path,
                **self.comparison.as_json(),
                "warnings": self.check_warnings,
            }
        return document

    def document(self, name: str) -> Document:
        """All of it, as a page."""
        sections = [
            tables.section(self.run, self.forecasts, self.options, self.warnings, self.as_json()),
        ]
        if self.check is not None and self.comparison is not None:
            sections.append(
                comparison_section(self.comparison, self.run.path, self.check.path, self.check_warnings),
            )
        return Document(
            name=name,
            title=PLAN,
            began=self.run.began,
            ended=self.run.began,
            interrupted=False,
            verdict=f"By what {self.run.costs.orders} orders cost in the run {self.run.name}.",
            good=True,
            sections=sections,
            settings=asdict(self.options),
            versions=self.run.versions,
            machine=self.run.machine,
        )


def make(run: Run, rates: Iterable[float], options: Options, check: Run | None = None) -> Plan:
    """Plan.

    Args:
        run: That was measured.
        rates: Orders a second.
        options: How much headroom.
        check: Another run, to be predicted.

    Raises:
        PlanError: If a rate is none, or a run would be compared with itself.
    """
    wanted = sorted(set(rates))
    for rate in wanted:
        if not (math.isfinite(rate) and 0 < rate <= MOST_RATE):
            raise PlanError(f"{rate:g} orders a second are none that can be planned: above 0, to {MOST_RATE:,.0f}")
    comparison = None
    if check is not None:
        if Path(check.path).resolve() == Path(run.path).resolve():
            raise PlanError(f"{check.path} is the report that the plan is from: it cannot show how near it comes")
        comparison = compare(run.costs, check.costs)
    return Plan(run, options, [forecast(run.costs, rate, options) for rate in wanted], check, comparison)


def _fixed(value: Any) -> Any:
    """Without what differs from run to run."""
    if isinstance(value, dict):
        return {name: each for name, each in value.items() if name != "load_average_before"}
    return value


def _finite(value: Any) -> Any:
    """Without infinities, which JSON does not have."""
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
