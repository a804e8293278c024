"""What payments can be told, by environment variables beginning with ``PAYMENTS_``."""

from pydantic import Field

from chassis.settings import HttpUrl, ServiceSettings, env


class Settings(ServiceSettings):
    """Settings of payments. Each field's variable is its name in capitals behind ``PAYMENTS_``."""

    model_config = env("PAYMENTS_")

    port: int = Field(default=8003, ge=1, le=65535)
    """Port of the HTTP server."""
    gateway_url: HttpUrl = "http://127.0.0.1:9000/gateway"
    """Base URL of the card gateway; ``/v1/…`` is put behind it."""
    gateway_rate: float = Field(default=100, gt=0, le=100_000)
    """Activities that the whole pool may begin in a second, however many replicas it has: the gateway's rate limit."""
    gateway_seconds: float = Field(default=3, gt=0, le=4)
    """Time-out of one request to the gateway. An activity makes three at most and may take 15 s."""
