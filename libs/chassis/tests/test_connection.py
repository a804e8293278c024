import asyncio
import uuid
from datetime import timedelta
from pathlib import Path

import pytest
from google.protobuf.duration_pb2 import Duration
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment

from chassis.connection import DEFAULT_ADDRESS, Connection, TemporalUnavailable, is_away, options
from chassis.converter import DATA_CONVERTER
from chassis.settings import WrongSettings
from chassis.testing.ports import free_ports
from chassis.testing.programs import program
from chassis.testing.waiting import eventually

from .conftest import address_of


async def test_there_is_no_client_before_temporal_answers() -> None:
    connection = Connection("demo")
    assert connection.identity.startswith("demo@")
    with pytest.raises(TemporalUnavailable):
        _ = connection.client
    with pytest.raises(TemporalUnavailable):
        await connection.check()


async def test_it_waits_for_a_server_that_comes_later_and_says_when_it_goes(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    [port] = free_ports(1)
    monkeypatch.setenv("TEMPORAL_ADDRESS", f"127.0.0.1:{port}")
    connection = Connection("demo")
    connecting = asyncio.create_task(connection.connect())
    await eventually(lambda: any("Temporal is not there yet" in message for message in caplog.messages))
    assert not connecting.done()
    async with await WorkflowEnvironment.start_local(dev_server_existing_path=program("temporal"), port=port):
        client = await connecting
        assert client is connection.client
        assert client.data_converter is DATA_CONVERTER
        assert client.service_client.config.identity == connection.identity
        await connection.check()
    with pytest.raises(TemporalUnavailable):
        await connection.check()


async def test_it_waits_for_a_namespace_that_is_not_there_yet(
    dev_server: WorkflowEnvironment, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    namespace = f"n-{uuid.uuid4()}"
    monkeypatch.setenv("TEMPORAL_ADDRESS", address_of(dev_server))
    monkeypatch.setenv("TEMPORAL_NAMESPACE", namespace)
    connecting = asyncio.create_task(Connection("demo").connect())
    await eventually(lambda: any(namespace in message for message in caplog.messages))
    assert not connecting.done()
    await dev_server.client.workflow_service.register_namespace(
        RegisterNamespaceRequest(namespace=namespace, workflow_execution_retention_period=Duration(seconds=86400))
    )
    assert (await connecting).namespace == namespace


async def test_a_client_that_is_connected_already_can_be_used(dev_server: WorkflowEnvironment) -> None:
    connection = Connection("demo")
    connection.use(dev_server.client)
    await connection.check()
    assert connection.client is dev_server.client


def test_without_variables_temporal_is_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORAL_CONFIG_FILE", "/nowhere/temporal.toml")
    for name in ("TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE", "TEMPORAL_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    assert options() == {"target_host": DEFAULT_ADDRESS}


@pytest.mark.parametrize("address", ["localhost:7233", "10.0.0.1:1", "[::1]:7233", "temporal.example.org:65535"])
def test_addresses_are_taken(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", address)
    assert options()["target_host"] == address


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TEMPORAL_ADDRESS", "localhost"),
        ("TEMPORAL_ADDRESS", "http://localhost:7233"),
        ("TEMPORAL_ADDRESS", "localhost:70000"),
        ("TEMPORAL_ADDRESS", "localhost:0"),
        ("TEMPORAL_ADDRESS", "local host:1"),
        ("TEMPORAL_ADDRESS", "::1:7233"),
        ("TEMPORAL_PROFILE", "no-such-profile"),
        ("TEMPORAL_TLS_CLIENT_CERT_PATH", "/nowhere/cert.pem"),
    ],
)
def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(WrongSettings) as refused:
        options()
    assert str(refused.value).startswith(f"{variable}: ")
    assert "\n" not in str(refused.value)


def test_a_config_file_that_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "temporal.toml"
    file.write_text("[profile.default\n")
    monkeypatch.setenv("TEMPORAL_CONFIG_FILE", str(file))
    with pytest.raises(WrongSettings, match=r"^TEMPORAL_"):
        options()


async def test_half_a_pair_of_certificate_and_key_is_no_reason_to_wait(
    dev_server: WorkflowEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", address_of(dev_server))
    monkeypatch.setenv("TEMPORAL_TLS_CLIENT_CERT_DATA", "half")
    with pytest.raises(WrongSettings, match="client cert and private key"):
        await Connection("demo").connect()


AWAY = {"CANCELLED", "UNKNOWN", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "INTERNAL", "UNAVAILABLE"}


@pytest.mark.parametrize("status", list(RPCStatusCode), ids=lambda status: str(status.name))
def test_an_error_says_whether_temporal_is_away(status: RPCStatusCode) -> None:
    assert is_away(RPCError("said", status, b"")) is (status.name in AWAY)


async def test_a_workflow_is_started_once_and_one_that_has_ended_is_not_started_again(
    dev_server: WorkflowEnvironment,
) -> None:
    connection = Connection("demo")
    connection.use(dev_server.client)
    name = f"once:{uuid.uuid4()}"
    patience = timedelta(seconds=5)

    async def start() -> bool:
        return await connection.start_once("demo.Run", 1, id=name, task_queue=f"q-{name}", patience=patience)

    assert all(await asyncio.gather(start(), start()))
    handle = dev_server.client.get_workflow_handle(name)
    first = (await handle.describe()).run_id
    await handle.terminate()
    assert await start()
    assert (await handle.describe()).run_id == first


async def test_a_workflow_waits_while_temporal_is_away() -> None:
    never = Connection("demo")
    assert not await never.start_once("demo.Run", 1, id="x", task_queue="q", patience=timedelta(seconds=1))
