"""What the sandbox can be told, by environment variables that begin with ``SANDBOX_``."""

from typing import Self

from pydantic import Field, SecretStr, model_validator

from chassis.settings import HttpUrl, ServerSettings, env


class Settings(ServerSettings):
    """Settings of the sandbox."""

    model_config = env("SANDBOX_")

    port: int = Field(default=9000, ge=1, le=65535)
    """Port of the HTTP server."""
    operator_token: SecretStr = Field(min_length=8)
    """Bearer token of ``GET /audit``."""
    database: str = Field(default=":memory:", min_length=1)
    """SQLite file that keeps everything the outside world knows; ``:memory:`` forgets it with the process."""
    webhook_url: HttpUrl | None = None
    """Base URL that the carriers call back, such as ``http://127.0.0.1:8004``. Unset: they never call."""
    webhook_secret: SecretStr | None = Field(default=None, min_length=8)
    """Secret that the carriers sign their calls with; required where there is a URL to call."""
    hang_seconds: float = Field(default=20, ge=0, le=3600, allow_inf_nan=False)
    """How long an answer that never comes in time takes. Longer than its callers wait."""
    slow_seconds: float = Field(default=15, ge=0, le=3600, allow_inf_nan=False)
    """How long a slow carrier takes to quote."""
    delivery_seconds: float = Field(default=3, ge=0, le=10**7, allow_inf_nan=False)
    """How long a parcel takes from booking to its last state."""

    @model_validator(mode="after")
    def _calls_are_signed(self) -> Self:
        if self.webhook_url is not None and self.webhook_secret is None:
            raise ValueError("SANDBOX_WEBHOOK_SECRET is required where SANDBOX_WEBHOOK_URL is set")
        return self
