"""All workflows that inventory's worker runs."""

from inventory.workflows.commit_stock import CommitStock
from inventory.workflows.import_catalogue import ImportCatalogue
from inventory.workflows.import_partition import ImportPartition
from inventory.workflows.reconcile_stock import ReconcileStock
from inventory.workflows.release_expired_holds import ReleaseExpiredHolds
from inventory.workflows.release_stock import ReleaseStock
from inventory.workflows.reserve_stock import ReserveStock
from inventory.workflows.stocktake_round import StocktakeRound
from inventory.workflows.warehouse_stocktake import WarehouseStocktake

WORKFLOWS: list[type] = [
    ReserveStock,
    CommitStock,
    ReleaseStock,
    ReleaseExpiredHolds,
    ImportCatalogue,
    ImportPartition,
    StocktakeRound,
    WarehouseStocktake,
    ReconcileStock,
]
