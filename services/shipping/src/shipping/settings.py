"""What shipping can be told through its environment. The docstrings under the fields are the reference."""

from datetime import timedelta
from typing import Annotated

from pydantic import Field, SecretStr, StringConstraints, field_validator

from chassis.settings import HttpUrl, ServiceSettings, env
from shipping.contract import MAX_SECONDS
from shipping.picking import MAX_LEASE_SECONDS

CarrierName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,49}$")]
"""Name of a carrier, as it stands in URLs."""


class Settings(ServiceSettings):
    """Settings of shipping. Variables begin with ``SHIPPING_``."""

    model_config = env("SHIPPING_")

    port: int = Field(default=8004, ge=1, le=65535)
    """Port of the HTTP server."""
    carriers_url: HttpUrl
    """Base URL of the carriers' HTTP API; a carrier's name follows it."""
    carriers: tuple[CarrierName, ...] = ("swift", "steady", "budget")
    """Carriers that are asked for quotes, as a JSON list of 1 to 20."""
    quote_seconds: float = Field(default=3.0, ge=0.1, le=25)
    """How long a carrier may take for its quotes, per attempt; there are at most two."""
    carrier_quote_seconds: dict[CarrierName, Annotated[float, Field(ge=0.1, le=25)]] = Field(default_factory=dict)
    """The same for single carriers, as a JSON object of seconds by name; for the others ``quote_seconds`` stands."""
    promise_seconds: int = Field(default=5 * 24 * 3600, ge=1, le=MAX_SECONDS)
    """How long after its booking a parcel is promised to be delivered; a carrier's event may move that."""
    pick_seconds: float = Field(default=0.2, ge=0, le=20)
    """How long the hand that picks a parcel takes; this is where a warehouse's scanner would be."""
    pick_lease_seconds: float = Field(default=60.0, ge=1, le=MAX_LEASE_SECONDS)
    """How long a picker with tasks may be silent before others get them. A pick takes less."""
    webhook_secret: SecretStr = Field(min_length=8)
    """Key of the HMAC with which carriers sign what they report."""

    @property
    def promise(self) -> timedelta:
        """``promise_seconds`` as a duration."""
        return timedelta(seconds=self.promise_seconds)

    @field_validator("carriers")
    @classmethod
    def _some_and_none_twice(cls, carriers: tuple[str, ...]) -> tuple[str, ...]:
        if not 1 <= len(carriers) <= 20:
            raise ValueError(f"names 1 to 20 carriers, not {len(carriers)}")
        if len(set(carriers)) != len(carriers):
            raise ValueError("a carrier stands in the list twice")
        return carriers
