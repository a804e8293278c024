"""What the orchestrator can be told. Each field's text is its reference."""

from typing import Annotated

from pydantic import Field, StringConstraints

from chassis.settings import HttpUrl, ServiceSettings, env
from orchestrator.contract import APPROVAL_ESCALATED, APPROVAL_REMINDER, MAX_REVIEW
from orchestrator.import_contract import BULK_KEY, MAX_WINDOW

Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
Email = Annotated[str, StringConstraints(pattern=r"^[^@\s]{1,64}@[^@\s]{1,190}$")]


class Settings(ServiceSettings):
    """Variables that begin with ``ORCHESTRATOR_``."""

    model_config = env("ORCHESTRATOR_")

    port: int = Field(default=8001, ge=1, le=65535)
    """Port of the HTTP server."""
    mailbox_url: HttpUrl
    """Base URL of the mail provider."""
    mailbox_seconds: float = Field(default=5, gt=0, le=20)
    """Time-out of one request to the mail provider."""
    approval_thresholds: dict[Currency, Annotated[int, Field(ge=0)]] = Field(
        default={"EUR": 100_000, "GBP": 100_000, "USD": 100_000}, min_length=1
    )
    """The currencies that are taken, and in each the total, in minor units, above which an approver is asked."""
    approval_limit_seconds: int = Field(default=24 * 3600, ge=1, le=24 * 3600)
    """How long an order waits for its approver. At most 24 h, which is what stock is held for."""
    review_seconds: int = Field(default=30 * 24 * 3600, ge=0, le=int(MAX_REVIEW.total_seconds()))
    """How long after delivery a customer is asked for a review. At most ten years."""
    intake_seconds: float = Field(default=1, gt=0, le=60)
    """How often the intake looks for accepted orders whose workflow is not started."""
    approver_email: Email = "approvals@waybill.example"
    """Who is reminded of an order that waits for an approval, when half of the time is over."""
    escalation_email: Email = "operations@waybill.example"
    """Who is told when the approval is still missing shortly before the end."""
    import_window: int = Field(default=20, ge=1, le=MAX_WINDOW)
    """How many orders of one import are under way at the same time, where the request does not say."""
    import_priority: int = Field(default=BULK_KEY, ge=1, le=BULK_KEY)
    """Priority of imported orders on every queue, from 1 to 5. Customers' own have 1."""
    import_max_bytes: int = Field(default=256 * 1024 * 1024, ge=1024)
    """Largest file of orders."""
    import_look_seconds: float = Field(default=0.5, gt=0, le=10)
    """How often an import looks for ended orders."""
    import_grace_seconds: float = Field(default=60, gt=0)
    """How long a row of an import may stay accepted before the intake starts it: the import is gone, or slow."""
    import_sweep_seconds: float = Field(default=30, gt=0, le=3600)
    """How often the intake looks for uploads that broke off and for imports that somebody terminated."""
    start_seconds: float = Field(default=3, gt=0, le=30)
    """How long a request waits for Temporal. An order that is accepted meanwhile is started by the intake."""

    @property
    def approvers(self) -> dict[str, str]:
        """Who gets which reminder."""
        return {APPROVAL_REMINDER: self.approver_email, APPROVAL_ESCALATED: self.escalation_email}

    @property
    def intake(self) -> dict[str, float]:
        """What the intake of orders is told."""
        return {
            "start_seconds": self.start_seconds,
            "every_seconds": self.intake_seconds,
            "import_grace_seconds": self.import_grace_seconds,
        }
