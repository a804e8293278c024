"""What inventory counts: units and reservations, once each, where their rows change; and what is in stock."""

from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge

from chassis.metrics import primed
from inventory.contract import Refusal

RECEIPT, RESERVE, COMMIT, RELEASE, PUT_BACK, EXPIRE, IMPORT, STOCKTAKE = MOVEMENTS = (
    "receipt",
    "reserve",
    "commit",
    "release",
    "put_back",
    "expire",
    "import",
    "stocktake",
)
"""Why units move. A reservation holds them, a release and an expiry let go of them; the others change what is there."""
DONE, PARTIAL, FAILED = "done", "partial", "failed"
RESERVATIONS = (DONE, PARTIAL, *(str(refusal) for refusal in Refusal))


class InventoryMetrics:
    """Inventory's own metrics, in a registry of their own. See ``docs/telemetry.md``."""

    def __init__(self) -> None:
        """Make them, those that count at 0."""
        self.registry = registry = CollectorRegistry()
        self._moved = primed(
            Counter("stock_moved_units", "Units that were moved, by why.", ["movement"], registry=registry), MOVEMENTS
        )
        self._reservations = primed(
            Counter("reservations", "Requests for stock by what came of them.", ["result"], registry=registry),
            RESERVATIONS,
        )
        self._rows = primed(
            Counter("import_rows", "Lines of suppliers' lists by what became of them.", ["result"], registry=registry),
            [DONE, FAILED],
        )
        self._units = Gauge("stock_units", "Units of all SKUs in all warehouses.", ["state"], registry=registry)
        self._violations = Gauge(
            "inventory_stock_violations",
            "Shelves that were not what movements and holds say, by the last check.",
            registry=registry,
        )
        self._reconciled = Gauge(
            "inventory_stock_reconciled_timestamp_seconds", "When stock was last checked.", registry=registry
        )

    def moved(self, movement: str, units: int) -> None:
        """Units moved; how many, whichever way."""
        self._moved.labels(movement).inc(abs(units))

    def reserved(self, result: str) -> None:
        """A request for stock was answered for the first time, or refused."""
        self._reservations.labels(result).inc()

    def imported(self, applied: int, rejected: int) -> None:
        """Lines of a list were gone through."""
        self._rows.labels(DONE).inc(applied)
        self._rows.labels(FAILED).inc(rejected)

    def stock(self, on_hand: int, held: int) -> None:
        """Show what is in stock, and how much of it is held."""
        self._units.labels("on_hand").set(on_hand)
        self._units.labels("held").set(held)

    def reconciled(self, violations: int, at: datetime) -> None:
        """Show the newest check of the stock."""
        self._violations.set(violations)
        self._reconciled.set(at.timestamp())
