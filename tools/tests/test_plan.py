import asyncio
import math
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest
import pytest_asyncio

from chassis.testing import postgres
from waybill.stack import databases, ports, ready
from waybill.stack.plan import PORTS, Plan, base_environment
from waybill.stack.process import Process
from waybill.stack.spec import Spec


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return Plan(tmp_path, ports.choose(PORTS, {}, {}), ui=False)


def test_a_service_is_told_where_everything_is_and_nothing_of_the_others(plan: Plan) -> None:
    environment = plan.service("payments", 1234, {"PAYMENTS_DRAIN_SECONDS": "7"})
    assert environment.environment["PAYMENTS_PORT"] == "1234"
    assert environment.environment["PAYMENTS_GATEWAY_URL"] == f"{plan.url('sandbox')}/gateway"
    assert environment.environment["TEMPORAL_ADDRESS"] == plan.temporal_address
    assert f"payments:{plan.passwords['payments']}@" in environment.environment["PAYMENTS_DATABASE_URL"]
    assert environment.stop_seconds == 12
    strangers = ("INVENTORY_", "ORCHESTRATOR_", "SHIPPING_", "SANDBOX_")
    assert not [name for name in environment.environment if name.startswith(strangers)]


def test_what_stands_in_the_shell_does_not_change_the_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PAYMENTS_PORT", "TEMPORAL_NAMESPACE", "PGPASSWORD", "SANDBOX_DATABASE"):
        monkeypatch.setenv(name, "x")
        assert name not in base_environment()


def test_the_dev_server_has_the_measured_settings(plan: Plan) -> None:
    command = " ".join(plan.temporal().command)
    assert "--dynamic-config-value history.transferProcessorMaxPollRPS=2000" in command
    assert '--dynamic-config-value matching.backlogMetricsEmitInterval="5s"' in command
    assert "--sqlite-pragma journal_mode=WAL --sqlite-pragma synchronous=OFF" in command
    assert plan.temporal().environment["GOGC"] == "400"
    assert f"--db-filename {plan.directory / 'temporal.db'}" in command


@pytest_asyncio.fixture
async def server(plan: Plan) -> AsyncIterator[Process]:
    await asyncio.to_thread(postgres.prepare, plan.postgres_data)
    command = plan.postgres()
    process = Process(
        Spec(
            name="postgres",
            command=command.command,
            environment=command.environment,
            folder=command.folder,
            log=plan.directory / "postgres.log",
            ready=ready.postgres(plan.ports["postgres"]),
            stop_signal=command.stop_signal,
            user=command.user,
            group=command.group,
        )
    )
    process.start()
    await process.wait_ready(60)
    await databases.ensure(plan.ports["postgres"], plan.passwords)
    yield process
    await process.stop()
    postgres.discard(plan.postgres_data)


def address(plan: Plan, role: str, database: str, password: str | None = None) -> str:
    return f"postgresql://{role}:{password or plan.passwords[role]}@127.0.0.1:{plan.ports['postgres']}/{database}"


async def test_a_killed_database_server_loses_nothing_that_it_committed(plan: Plan, server: Process) -> None:
    async with await psycopg.AsyncConnection.connect(address(plan, "payments", "payments")) as connection:
        await connection.execute("CREATE TABLE things (number int)")
        await connection.commit()
        for number in range(50):
            await connection.execute("INSERT INTO things VALUES (%s)", (number,))
            await connection.commit()
        await server.kill(math.inf)
    server.start()
    await server.wait_ready(60)
    async with await psycopg.AsyncConnection.connect(address(plan, "payments", "payments")) as connection:
        [count] = await (await connection.execute("SELECT count(*) FROM things")).fetchone() or [0]
    assert count == 50


async def test_a_service_s_role_opens_its_own_database_only_and_needs_its_password(plan: Plan, server: Process) -> None:
    for role, database, password in (
        ("payments", "inventory", None),
        ("payments", "payments", "guessed"),
        ("inventory", "payments", None),
    ):
        with pytest.raises(psycopg.OperationalError, match=r"permission denied|password authentication failed"):
            await psycopg.AsyncConnection.connect(address(plan, role, database, password))


async def test_databases_that_are_there_already_get_the_new_passwords(plan: Plan, server: Process) -> None:
    renewed = {name: f"new-{name}" for name in plan.passwords}
    await databases.ensure(plan.ports["postgres"], renewed)
    connection = await psycopg.AsyncConnection.connect(address(plan, "shipping", "shipping", "new-shipping"))
    await connection.close()
