"""What makes a service: all that its composition root puts together."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry
from temporalio.client import Client
from temporalio.worker import Worker

from chassis import database, health, sandboxing, telemetry, versioning
from chassis.access import access_middleware
from chassis.apart import Attach
from chassis.connection import Connection
from chassis.database import Database
from chassis.database_metrics import DatabaseMetrics
from chassis.gate import Gate
from chassis.guard import ArgumentGuard
from chassis.http import HttpClient, reachable
from chassis.lasting import Lasting
from chassis.metrics import HttpMetrics
from chassis.problems import DATABASE_AWAY, MAX_BODY, problem_middleware
from chassis.queues import QueueMetrics
from chassis.schedules import ServiceSchedule
from chassis.settings import ServiceSettings

Background = Callable[[Connection], Coroutine[Any, Any, None]]


@dataclass
class Service:
    """All that makes a service, put together by its ``worker.py``.

    Attributes:
        name: Of the service; the ``service`` of its logs and metrics.
        settings: Of the service.
        connection: To Temporal.
        database: The service's own.
        migrations: Import path of its alembic folder.
        task_queue: The queue that this service's workers poll, and nobody else's.
        workflows: Classes.
        activities: Bound methods.
        routes: The HTTP surface; health and metrics are added.
        worker_options: Further arguments of ``temporalio.worker.Worker``.
        background: Run beside the worker for as long as it runs.
        schedules: Created or changed at start.
        clients: Closed at the end.
        providers: Name and base URL of what the service calls over HTTP, for ``/readyz`` to tell of.
        max_body: Most bytes of a request's body.
        registry: The service's own metrics; those that every service has are added.
        queues: Task queues that the service calls: their backlog and pollers are measured as its own are.
    """

    name: str
    settings: ServiceSettings
    connection: Connection
    database: Database
    migrations: str
    task_queue: str
    workflows: Sequence[type]
    activities: Sequence[Callable[..., Any]]
    routes: Sequence[web.RouteDef]
    worker_options: dict[str, Any] = field(default_factory=dict)
    background: Sequence[Background] = ()
    schedules: Sequence[ServiceSchedule] = ()
    clients: Sequence[HttpClient] = ()
    providers: Mapping[str, str] = field(default_factory=dict)
    max_body: int = MAX_BODY
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    queues: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Measure what every service has."""
        self._requests = HttpMetrics(self.registry)
        DatabaseMetrics(self.registry, self.database.engine)
        self.sampling = QueueMetrics(self.registry, [self.task_queue, *self.queues]).run

    def worker(self, client: Client) -> Worker:
        """The service's worker, not running yet."""
        workflows, activities = list(self.workflows), list(self.activities)
        deployment = versioning.deployment()
        if deployment is not None:
            workflows.append(Gate)
            activities.append(versioning.Looking(self._can_work).look)
        options: dict[str, Any] = {
            # One of them names the code: a version where somebody manages versions, else what it is made of.
            **(
                {"deployment_config": deployment}
                if deployment
                else {"build_id": versioning.build(sandboxing.packages(self.workflows))}
            ),
            "max_concurrent_activities": self.settings.activity_slots,
            "max_concurrent_local_activities": self.settings.activity_slots,
            "max_concurrent_workflow_tasks": self.settings.workflow_slots,
            "max_cached_workflows": self.settings.cached_workflows,
            "graceful_shutdown_timeout": timedelta(seconds=self.settings.drain_seconds),
            "interceptors": [Attach(), Lasting(), ArgumentGuard()],
            "workflow_runner": sandboxing.runner(self.workflows, client.data_converter),
            **self.worker_options,
        }
        return Worker(client, task_queue=self.task_queue, workflows=workflows, activities=activities, **options)

    async def _can_work(self) -> None:
        """What the gate of a new version asks: is the database there, with a schema that this code knows?"""
        await self.database.expect(self.migrations)

    def app(self, metrics: telemetry.Metrics | None = None) -> web.Application:
        """The HTTP application: the service's routes, health and metrics, with errors as problem documents."""
        app = web.Application(
            middlewares=[
                access_middleware,
                self._requests.middleware,
                problem_middleware,
                health.storing_middleware,
            ],
            client_max_size=self.max_body,
        )
        app[DATABASE_AWAY] = database.AWAY
        app[health.HEALTH] = health.Health(
            checks={"database": self.database.check, "temporal": self.connection.check},
            providers={name: partial(reachable, url) for name, url in self.providers.items()},
        )
        app.add_routes([web.get("/livez", health.livez), web.get("/readyz", health.readyz), *self.routes])
        if metrics is not None:
            app[telemetry.METRICS] = metrics
            app[telemetry.REGISTRY] = self.registry
            app.add_routes([web.get("/metrics", telemetry.metrics_handler)])
        return app
