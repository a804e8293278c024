import importlib
import uuid
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from temporalio.api.deployment.v1 import WorkerDeploymentVersion
from temporalio.api.workflowservice.v1 import (
    DescribeWorkerDeploymentVersionRequest,
    SetWorkerDeploymentCurrentVersionRequest,
)
from temporalio.client import Client, WorkflowFailureError
from temporalio.common import PinnedVersioningOverride, VersioningBehavior
from temporalio.common import WorkerDeploymentVersion as Version
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from chassis.connection import Connection
from chassis.database import Database
from chassis.gate import Gate
from chassis.service import Service
from chassis.settings import ServiceSettings, WrongSettings
from chassis.testing.fixtures import FreshDatabase
from chassis.testing.waiting import eventually
from chassis.versioning import BUILD, DEPLOYMENT, Looking, build, deployment

from .conftest import PROGRAMS, address_of
from .programs.tiny.lives import Long, Short

MIGRATIONS = "tiny.migrations"


@dataclass
class Rollout:
    """One worker deployment, and the queue of its workers."""

    client: Client
    name: str
    queue: str
    database: Database

    def worker(self, build: str, monkeypatch: pytest.MonkeyPatch) -> Worker:
        monkeypatch.setenv(DEPLOYMENT, self.name)
        monkeypatch.setenv(BUILD, build)
        settings = ServiceSettings(
            port=1, database_url="postgresql://nobody@127.0.0.1:1/nothing", operator_token=SecretStr("operator")
        )
        return Service(
            name="tiny",
            settings=settings,
            connection=Connection("tiny"),
            database=self.database,
            migrations=MIGRATIONS,
            task_queue=self.queue,
            workflows=[Short, Long],
            activities=[],
            routes=[],
        ).worker(self.client)

    async def known(self, build: str) -> None:
        """Wait until the server has heard of a version."""

        async def heard() -> bool:
            try:
                await self.client.workflow_service.describe_worker_deployment_version(
                    DescribeWorkerDeploymentVersionRequest(
                        namespace=self.client.namespace,
                        deployment_version=WorkerDeploymentVersion(deployment_name=self.name, build_id=build),
                    )
                )
            except RPCError:
                return False
            return True

        await eventually(heard)

    async def current(self, build: str) -> None:
        """Make a version that which gets all new work."""
        await self.known(build)

        async def made() -> bool:
            try:
                await self.client.workflow_service.set_worker_deployment_current_version(
                    SetWorkerDeploymentCurrentVersionRequest(
                        namespace=self.client.namespace, deployment_name=self.name, build_id=build
                    )
                )
            except RPCError:  # its other parts have not heard of the pollers
                return False
            return True

        await eventually(made)

    async def where(self, workflow_id: str) -> tuple[str, int]:
        """The version that ran a workflow's last task, and its behaviour."""
        info = (await self.client.get_workflow_handle(workflow_id).describe()).raw_description.workflow_execution_info
        return info.versioning_info.deployment_version.build_id, info.versioning_info.behavior


@pytest.fixture
async def rollout(
    dev_server: WorkflowEnvironment, fresh_database: FreshDatabase, monkeypatch: pytest.MonkeyPatch
) -> Rollout:
    monkeypatch.syspath_prepend(str(PROGRAMS))
    client = await Client.connect(address_of(dev_server))
    return Rollout(client, f"tiny-{uuid.uuid4()}", f"q-{uuid.uuid4()}", await fresh_database(MIGRATIONS))


async def test_what_lives_for_weeks_moves_to_a_new_version_and_the_rest_stays(
    rollout: Rollout, monkeypatch: pytest.MonkeyPatch
) -> None:
    short, long = str(uuid.uuid4()), str(uuid.uuid4())
    async with rollout.worker("one", monkeypatch):
        await rollout.current("one")
        for kind, workflow_id in ((Short, short), (Long, long)):
            await rollout.client.start_workflow(kind.run, id=workflow_id, task_queue=rollout.queue)

        async def begun() -> bool:
            places = [await rollout.where(workflow_id) for workflow_id in (short, long)]
            assert places == [("one", VersioningBehavior.PINNED), ("one", VersioningBehavior.AUTO_UPGRADE)]
            return True

        await eventually(begun)
        async with rollout.worker("two", monkeypatch):
            await rollout.current("two")
            await rollout.client.get_workflow_handle(short).signal(Short.end)
            await rollout.client.get_workflow_handle(short).result()

            async def moved() -> bool:
                # With its next task, once all parts of the server know of the new version.
                await rollout.client.get_workflow_handle(long).signal(Long.hear)
                return (await rollout.where(long))[0] == "two"

            await eventually(moved)
            await rollout.client.get_workflow_handle(long).signal(Long.end)
            await rollout.client.get_workflow_handle(long).result()
    assert (await rollout.where(short))[0] == "one"


async def test_the_gate_runs_on_a_version_that_gets_nothing_else_yet(
    rollout: Rollout, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rollout.worker("one", monkeypatch):
        await rollout.known("one")
        workflow_id = str(uuid.uuid4())

        async def started() -> bool:
            try:
                await rollout.client.start_workflow(
                    Gate.run,
                    id=workflow_id,
                    task_queue=rollout.queue,
                    versioning_override=PinnedVersioningOverride(Version(rollout.name, "one")),
                    execution_timeout=timedelta(seconds=30),
                )
            except RPCError:  # the queue has not heard of the version
                return False
            return True

        await eventually(started)
        await rollout.client.get_workflow_handle(workflow_id).result()


async def test_the_gate_stays_closed_where_the_service_cannot_work(time_skipping: WorkflowEnvironment) -> None:
    async def behind() -> None:
        raise RuntimeError("the schema is not up to date")

    queue = f"q-{uuid.uuid4()}"
    worker = Worker(time_skipping.client, task_queue=queue, workflows=[Gate], activities=[Looking(behind).look])
    async with worker:
        with pytest.raises(WorkflowFailureError):
            await time_skipping.client.execute_workflow(Gate.run, id=str(uuid.uuid4()), task_queue=queue)


@pytest.mark.parametrize(("given", "missing"), [(DEPLOYMENT, BUILD), (BUILD, DEPLOYMENT)])
def test_half_a_version_is_refused(given: str, missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(missing, raising=False)
    monkeypatch.setenv(given, "something")
    with pytest.raises(WrongSettings, match=f"^{missing}: is required"):
        deployment()


def test_without_the_variables_there_are_no_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (DEPLOYMENT, BUILD):
        monkeypatch.setenv(name, "")
    assert deployment() is None


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that is imported, and its folder."""
    folder = tmp_path / f"p_{uuid.uuid4().hex}"
    (folder / "workflows").mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "workflows" / "one.py").write_text("STEPS = 1")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module(folder.name)
    return folder


def test_code_without_a_version_is_named_by_its_sources(program: Path) -> None:
    before = build([program.name])
    assert before == build([program.name])
    (program / "workflows" / "one.py").write_text("STEPS = 2")
    assert build([program.name]) != before


def test_what_else_is_imported_does_not_change_its_name(program: Path) -> None:
    before = build([program.name])
    importlib.import_module(f"{program.name}.workflows.one")
    assert build([program.name]) == before
    assert build([program.name]) != build([])
