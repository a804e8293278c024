"""All activities that inventory's worker runs."""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from inventory.activities import Activities
from inventory.applying import Applier
from inventory.counting import CountingStore
from inventory.import_activities import ImportActivities
from inventory.imports import ImportStore
from inventory.metrics import InventoryMetrics
from inventory.reconcile_activities import ReconcileActivities
from inventory.reconciling import Reconciler
from inventory.rounds import RoundStore
from inventory.stocktake_activities import StocktakeActivities
from inventory.store import Store


def effects(engine: AsyncEngine, metrics: InventoryMetrics) -> Sequence[Callable[..., Any]]:
    """Put the activities together.

    Args:
        engine: Of inventory's database.
        metrics: Of inventory.

    Returns:
        Bound methods.
    """
    return [
        *Activities(Store(engine, metrics)).all(),
        *ImportActivities(ImportStore(engine), Applier(engine, metrics)).all(),
        *StocktakeActivities(CountingStore(engine, metrics), RoundStore(engine)).all(),
        *ReconcileActivities(Reconciler(engine, metrics)).all(),
    ]
