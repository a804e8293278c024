"""A run of ``waybill load`` that never was: its report, as the document that a plan reads."""

import json
from pathlib import Path
from typing import Any

from waybill.load.plain import TITLE
from waybill.load.watch import KINDS
from waybill.stack import SERVICES

ORDERS = 240
RATE = 2.0
SECONDS = 120.0
CPU = {"orchestrator": 0.1, "inventory": 0.04, "payments": 0.03, "shipping": 0.06, "postgres": 0.02, "temporal": 0.3}
WRITES = {"orchestrator": 16.0, "inventory": 7.5, "payments": 6.0, "shipping": 4.5}
MEMORY = 2.0**27


def queue(used: float, slots: float = 50.0, tasks: float = 2.0 * ORDERS, backlog: float = 0.0) -> dict[str, Any]:
    """Figures of one kind of tasks."""
    return {"slots_used_mean": used, "slots_mean": slots, "tasks": tasks, "backlog_mean": backlog}


def results() -> dict[str, Any]:
    """Of two orders a second for two minutes, each of which keeps half a slot-second of each kind of tasks."""
    queues = {f"{service}/{kind}": queue(RATE / 2) for service in SERVICES for kind in KINDS}
    cost = {"workflows": 9.0, "events": 160.0, "state_transitions": 100.0, "actions": 40.0, "history_bytes": 2.0**15}
    kind = {"orders": 10, "workflows_by_type": {"shipping.TrackShipment": 1.0}, "open_by_type": {}, **cost}
    return {
        "seconds": SECONDS,
        "orders_ended": ORDERS,
        "orders_sent": ORDERS,
        "cpu_seconds_per_order": {**CPU, "sandbox": 0.01, "waybill": 0.01},
        "memory_bytes": dict.fromkeys([*CPU, "sandbox", "waybill"], MEMORY),
        "queues": queues,
        "db_writes_per_order": dict(WRITES),
        "db_bytes_per_order": dict.fromkeys(SERVICES, 1024.0),
        "anatomy": {"fulfilled": kind, "two-parcels": {**kind, "events": 200.0}},
        "shares": {"fulfilled": 0.75, "two-parcels": 0.25},
        "while_orders_came": {"seconds": SECONDS, "queues": {name: dict(each) for name, each in queues.items()}},
        "limited_by": "nothing",
        "strangers_cores": 0.0,
        "open_loop": True,
        "orders_with_errors": 0,
        "orders_that_ended_otherwise": 0,
    }


def document(figures: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """The whole report.

    Args:
        figures: Of the run, if not ``results``.
        **changes: Of the document.
    """
    return {
        "name": "recorded",
        "began": "2027-01-15T08:00:00+00:00",
        "interrupted": False,
        "good": True,
        "verdict": "All is well.",
        "sections": [{"title": TITLE, "results": results() if figures is None else figures}],
        "settings": {"target": "a stack of its own"},
        "versions": {"waybill": "0.1.0"},
        "machine": {"cores": 2, "processor": "a processor", "load_average_before": [0.1, 0.1, 0.1]},
        **changes,
    }


def write(folder: Path, figures: dict[str, Any] | None = None, **changes: Any) -> Path:
    """Write a report into a folder of its own.

    Returns:
        The file.
    """
    folder.mkdir(parents=True)
    path = folder / "report.json"
    path.write_text(json.dumps(document(figures, **changes)))
    return path
