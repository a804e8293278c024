"""What inventory can be told."""

from typing import Annotated

from pydantic import Field, StringConstraints

from chassis.settings import ServiceSettings, env

Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]


class Settings(ServiceSettings):
    """Variables begin with ``INVENTORY_``."""

    model_config = env("INVENTORY_")

    port: int = Field(default=8002, ge=1, le=65535)
    """Port of the HTTP server."""
    expiry_seconds: int = Field(default=60, ge=1, le=86400)
    """How often holds that ran out are looked for. Until then their units stay held, but cannot be committed."""
    expiry_batch: int = Field(default=200, ge=1, le=5000)
    """Holds released in one transaction, which locks their stock rows for its length."""
    currencies: frozenset[Currency] = Field(default=frozenset({"EUR", "GBP", "USD"}), min_length=1)
    """Currencies in which goods are sold, as a JSON list. A row of a supplier's list in another one is rejected."""
    import_max_rows: int = Field(default=5_000_000, ge=1, le=100_000_000)
    """Most rows of one supplier's list."""
    import_partition_rows: int = Field(default=10_000, ge=1, le=1_000_000)
    """Lines of one partition of an import, which is a child workflow. The coordinator's history grows by about ten
    events for each."""
    import_chunk_rows: int = Field(default=1_000, ge=1, le=20_000)
    """Lines of one transaction of an import, which locks their stock rows for its length, and orders wait for it."""
    import_concurrency: int = Field(default=4, ge=1, le=100)
    """Partitions of one import that run at the same time."""
    stocktake_lease_seconds: int = Field(default=900, ge=1, le=86400)
    """For how long a warehouse is closed to new reservations at a time. Its stocktake prolongs that while it runs; if
    the stocktake dies the warehouse opens again when the time is over."""
    stocktake_deadline_seconds: int = Field(default=8 * 3600, ge=1, le=7 * 24 * 3600)
    """How long a counting may take where the round does not say. What was counted by then is corrected."""
    reconcile_seconds: int = Field(default=3600, ge=1, le=7 * 24 * 3600)
    """How often the stock is checked against movements and holds."""
    intake_seconds: float = Field(default=1, gt=0, le=60)
    """How often accepted imports and stocktakes are looked for whose workflow is not started."""
    start_seconds: float = Field(default=3, gt=0, le=30)
    """How long a request waits for Temporal. What is accepted meanwhile is started by the intake."""
