"""What inventory can be told."""

from pydantic import Field

from chassis.settings import ServiceSettings, env


class Settings(ServiceSettings):
    """Variables begin with ``INVENTORY_``."""

    model_config = env("INVENTORY_")

    port: int = Field(default=8002, ge=1, le=65535)
    """Port of the HTTP server."""
    expiry_seconds: int = Field(default=60, ge=1, le=86400)
    """How often holds that ran out are looked for. Until then their units stay held, but cannot be committed."""
    expiry_batch: int = Field(default=200, ge=1, le=5000)
    """Holds released in one transaction, which locks their stock rows for its length."""
