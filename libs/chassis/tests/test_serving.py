"""A service as the process that it is."""

import asyncio
import signal
import socket
import uuid
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

from chassis.testing.ports import free_ports
from chassis.testing.postgres import PostgresServer, create_database
from chassis.testing.programs import program
from chassis.testing.waiting import eventually

from .conftest import Launch, Tiny, address_of
from .programs.tiny.flows import Errand, Listen, Run


async def stop(tiny: Tiny, number: signal.Signals = signal.SIGTERM) -> int:
    tiny.process.send_signal(number)
    return await tiny.process.wait()


async def test_http_is_up_before_temporal_and_readyz_names_what_is_missing(launch: Launch) -> None:
    [nobody] = free_ports(1)
    tiny = await launch(TEMPORAL_ADDRESS=f"127.0.0.1:{nobody}")
    assert await tiny.until(200, "/livez") == {"status": "ok"}
    assert await tiny.until(200, "/notes") == {"notes": 1}  # the database is enough for it
    status, said = await tiny.get("/readyz")
    assert status == 503
    assert said["ready"] is False
    assert said["checks"]["database"] == "ok"
    assert said["checks"]["temporal"] == "Temporal has not answered yet"
    assert said["checks"]["worker"] == "not polling yet"
    assert await stop(tiny) == 0, tiny.log.read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_while_it_waits_for_temporal_ends_it_with_0(launch: Launch, number: signal.Signals) -> None:
    [nobody] = free_ports(1)
    tiny = await launch(TEMPORAL_ADDRESS=f"127.0.0.1:{nobody}")
    await tiny.until_logged("Temporal is not there yet")
    assert await stop(tiny, number) == 0, tiny.log.read_text()
    assert tiny.lines()[-1]["event"] == "drained"


async def test_a_database_that_is_absent_at_the_start_may_come_later(
    launch: Launch, postgres_server: PostgresServer
) -> None:
    name = f"t_{uuid.uuid4().hex}"
    tiny = await launch(TINY_DATABASE_URL=postgres_server.url(name))
    await tiny.until_logged("the database is not there yet")
    said = await tiny.until(503)
    assert name in said["checks"]["database"]
    status, problem = await tiny.get("/notes")
    assert (status, problem["title"]) == (503, "Service Unavailable")
    await asyncio.to_thread(create_database, postgres_server.port, name)
    said = await tiny.until(200)
    assert set(said["checks"].values()) == {"ok"}
    assert said["providers"]["nobody"] != "ok"  # told, and no reason to be unready
    assert await stop(tiny) == 0, tiny.log.read_text()


async def test_a_process_that_may_not_migrate_waits_for_one_that_does(launch: Launch) -> None:
    tiny = await launch(TINY_MIGRATE_AT_START="false")
    await tiny.until_logged("the schema is not up to date")
    said = await tiny.until(503)
    assert said["checks"]["database"] == "schema not up to date yet"
    migrating = await launch("migrate")
    assert await migrating.process.wait() == 0, migrating.log.read_text()
    await tiny.until(200)
    assert await tiny.until(200, "/notes") == {"notes": 1}


async def test_an_activity_in_flight_finishes_before_the_process_ends_and_is_done_once(
    launch: Launch, dev_server: WorkflowEnvironment, tmp_path: Path
) -> None:
    client, path, order = dev_server.client, tmp_path / "errand.txt", uuid.uuid4().hex
    tiny = await launch()
    await tiny.until(200)
    handle = await client.start_workflow(
        Run.run,
        Errand(str(path)),
        id=f"run-it:{order}:1",
        task_queue=tiny.queue,
        execution_timeout=timedelta(minutes=2),
    )
    await eventually(lambda: path.exists() and path.read_text() == "begin\n")
    tiny.process.send_signal(signal.SIGTERM)
    await tiny.until_logged('"draining"')
    said = await tiny.until(503)
    assert said["checks"]["process"] == "draining"
    assert (await tiny.get("/livez"))[0] == 200
    path.with_suffix(".go").touch()
    assert await tiny.process.wait() == 0, tiny.log.read_text()

    second = await launch()
    assert await handle.result() == 1
    assert path.read_text() == "begin\nend\n"
    assert await stop(second) == 0, second.log.read_text()

    # The log, the core's lines included, is JSON; what runs in a workflow or an activity says whose it is.
    info = await handle.describe()
    lines = {line["event"]: line for line in tiny.lines()}
    for event in ("asked to run", "at it", "something on\nseveral lines"):
        assert lines[event]["service"] == "tiny"
    for event in ("asked to run", "at it"):
        assert lines[event]["level"] == "info"
        assert lines[event]["workflow_id"] == handle.id
        assert lines[event]["run_id"] == info.run_id
        assert lines[event]["thing"] == order
    assert lines["at it"]["activity"] == "tiny.write"
    assert "ValueError: invalid literal" in lines["something on\nseveral lines"]["exception"]


async def test_wrong_numbers_of_arguments_hang_nothing_in_the_sandbox_either(
    launch: Launch, dev_server: WorkflowEnvironment
) -> None:
    client, backstop = dev_server.client, timedelta(seconds=30)
    tiny = await launch()
    await tiny.until(200)
    with pytest.raises(WorkflowFailureError) as failed:
        await client.execute_workflow(
            "tiny.Run", id=f"run:{uuid.uuid4()}", task_queue=tiny.queue, execution_timeout=backstop
        )
    assert isinstance(failed.value.cause, ApplicationError)
    assert failed.value.cause.type == "InvalidInput"
    listening = await client.start_workflow(
        Listen.run, id=f"listen:{uuid.uuid4()}", task_queue=tiny.queue, execution_timeout=backstop
    )
    await listening.signal("hear")
    assert await listening.execute_update(Listen.weigh, 5) == 5
    await listening.signal(Listen.hear, "a word")
    assert await listening.result() == "a word"
    assert "signal hear dropped: expected 1 arguments, got 0" in [line["event"] for line in tiny.lines()]


async def test_a_port_that_is_taken_ends_it_with_one_clear_line(launch: Launch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        tiny = await launch(TINY_PORT=str(port))
        assert await tiny.process.wait() == 1
    [line] = tiny.lines()
    assert line["level"] == "error"
    assert line["event"].startswith(f"cannot listen on 127.0.0.1:{port}: ")
    assert "exception" not in line


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"TINY_DRAIN_SECONDS": "soon"}, "TINY_DRAIN_SECONDS: "),
        ({"TINY_SIZES": "1,2"}, "TINY_SIZES: is not valid JSON"),
        ({"TINY_DATABASE_URL": "postgresql://u:secret@h:port/db"}, "TINY_DATABASE_URL: "),
        ({"TEMPORAL_ADDRESS": "localhost"}, "TEMPORAL_ADDRESS: is not of the form host:port"),
        ({"TEMPORAL_TLS_CLIENT_CERT_DATA": "half a pair"}, "TEMPORAL_…: Must have both client cert and private key"),
    ],
    ids=["number", "json", "url", "address", "certificate"],
)
async def test_wrong_settings_end_it_with_2_and_one_line(launch: Launch, variables: dict[str, str], said: str) -> None:
    tiny = await launch(**variables)
    assert await tiny.process.wait() == 2
    text = tiny.log.read_text()
    assert [line for line in text.splitlines() if line.startswith(said)] != [], text
    assert "Traceback" not in text
    assert "secret" not in text


async def test_an_unknown_command_ends_it_with_2_and_how_to_use_it(launch: Launch) -> None:
    tiny = await launch("fly")
    assert await tiny.process.wait() == 2
    assert tiny.log.read_text() == "usage: python -m tiny [migrate | schedules]\n"


@pytest.mark.parametrize("end", ["dies", "returns"])
async def test_a_background_task_that_ends_takes_the_process_with_it(launch: Launch, end: str) -> None:
    tiny = await launch(TINY_BACKGROUND=end)
    assert await tiny.process.wait() == 1
    lines = tiny.lines()
    assert any("ended unasked" in line["event"] and "beside" in line["event"] for line in lines)
    assert any("the task beside the worker died" in line.get("exception", "") for line in lines) is (end == "dies")


async def test_a_worker_that_ends_unasked_takes_the_process_with_it(launch: Launch) -> None:
    # The core gives up a queue that refuses it after a minute; here the worker ends at once.
    tiny = await launch(TINY_WORKER="dies")
    assert await tiny.process.wait() == 1
    assert "RuntimeError: the worker died" in tiny.lines()[-1]["exception"]


async def test_metrics_hold_the_sdks_series_and_pythons(launch: Launch) -> None:
    tiny = await launch()
    await tiny.until(200)

    async def polled() -> bool:
        text = str((await tiny.get("/metrics"))[1])
        wanted = (
            "temporal_num_pollers{",
            'process_cpu_seconds_total{service="tiny"}',
            'http_route="/readyz"',
            'db_client_connections{service="tiny",state="used"}',
            f'task_queue_pollers{{service="tiny",task_queue="{tiny.queue}",task_type="workflow"}} 1.0',
        )
        return all(series in text for series in wanted)

    await eventually(polled)


async def test_ten_replicas_start_at_once_on_one_new_database_and_end_with_0(launch: Launch) -> None:
    replicas = [await launch() for _ in range(10)]
    await asyncio.gather(*(replica.until(200) for replica in replicas))
    assert await replicas[0].until(200, "/notes") == {"notes": 1}
    codes = await asyncio.gather(*(stop(replica) for replica in replicas))
    assert codes == [0] * 10


async def test_it_drains_though_temporal_is_gone(launch: Launch) -> None:
    async with await WorkflowEnvironment.start_local(dev_server_existing_path=program("temporal")) as server:
        tiny = await launch(TEMPORAL_ADDRESS=address_of(server))
        await tiny.until(200)
    said = await tiny.until(503)
    assert said["checks"]["temporal"] != "ok"
    assert await stop(tiny) == 0, tiny.log.read_text()
    assert tiny.lines()[-1]["event"] == "drained"


async def test_schedules_are_applied_by_a_command_and_at_the_start(
    launch: Launch, dev_server: WorkflowEnvironment
) -> None:
    for outcome in ("created", "unchanged"):
        applying = await launch("schedules")
        assert await applying.process.wait() == 0, applying.log.read_text()
        assert applying.log.read_text() == f"{applying.queue}-nightly {outcome}\n"
    handle = dev_server.client.get_schedule_handle(f"{applying.queue}-nightly")
    await handle.delete()
    serving = await launch()
    await serving.until(200)
    assert {time.hour for time in (await handle.describe()).info.next_action_times} == {3}


async def test_schedules_cannot_be_applied_where_temporal_is_not(launch: Launch) -> None:
    [nobody] = free_ports(1)
    applying = await launch("schedules", TEMPORAL_ADDRESS=f"127.0.0.1:{nobody}")
    assert await applying.process.wait() == 1
    assert applying.log.read_text().startswith("Temporal does not take the schedules: ")


async def test_an_http_server_that_ends_unasked_takes_the_process_with_it(launch: Launch) -> None:
    tiny = await launch(TINY_BACKGROUND="closes the server")
    assert await tiny.process.wait() == 1, tiny.log.read_text()
    assert "the HTTP server ended unasked" in [line["event"] for line in tiny.lines()]


async def test_what_is_tried_again_and_again_in_a_workflow_task_does_not_hold_up_the_end(
    launch: Launch, dev_server: WorkflowEnvironment
) -> None:
    tiny = await launch(TINY_DRAIN_SECONDS="1")
    await tiny.until(200)
    handle = await dev_server.client.start_workflow("tiny.Insist", id=f"insist:{uuid.uuid4()}", task_queue=tiny.queue)
    await tiny.until_logged("failing")
    tiny.process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(30):
        assert await tiny.process.wait() == 1, tiny.log.read_text()
    assert "the worker has not ended 3 s after its drain of 1 s" in [line["event"] for line in tiny.lines()]
    await handle.terminate()


async def test_a_connection_that_a_client_keeps_open_does_not_hold_the_end(launch: Launch) -> None:
    tiny = await launch()
    await tiny.until(200)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(tiny.url.rpartition(":")[2]))
    writer.write(b"GET /livez HTTP/1.1\r\nHost: tiny\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    # Without a time of ours: a server that waited for the client would wait for ever.
    assert await stop(tiny) == 0, tiny.log.read_text()
    writer.close()
