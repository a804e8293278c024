"""What the audit says, as metrics."""

import time

from aiohttp import web
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, Gauge, generate_latest

from chassis.metrics import ServiceCollector
from waybill.audit.rules import RULES
from waybill.audit.run import Report

SERVICE = "audit"
"""Value of the label ``service``."""


class AuditMetrics:
    """The audit's metrics, in a registry of their own. See ``docs/telemetry.md``."""

    def __init__(self) -> None:
        """Make them. Until the first audit has ended there is nothing to say of violations."""
        self.registry = CollectorRegistry()
        self._violations = Gauge(
            "audit_violations", "What must not be, by the rule, by the last audit.", ["rule"], registry=self.registry
        )
        self._orders = Gauge("audit_orders", "Orders that the last audit checked.", registry=self.registry)
        self._success = Gauge(
            "audit_last_success_timestamp_seconds",
            "When an audit last read all books, whatever it found; 0 before the first.",
            registry=self.registry,
        )
        self._exposed = ServiceCollector(SERVICE, self.registry)

    def show(self, report: Report) -> None:
        """Show what an audit found."""
        found = [violation.rule for violation in report.violations]
        for rule in RULES:
            self._violations.labels(rule).set(found.count(rule))
        self._orders.set(report.checked)
        self._success.set(time.time())

    async def metrics(self, _: web.Request) -> web.Response:
        """``GET /metrics``."""
        return web.Response(body=generate_latest(self._exposed), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})
