"""``docker compose up`` from nothing to nothing. In this order: the last one takes everything down."""

import asyncio
import json
import re
import uuid
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from chassis.testing.waiting import eventually
from waybill.demo.day import Day
from waybill.demo.samples import SAMPLES
from waybill.demo.shop import Shop
from waybill.stack.plan import SERVICES

from .deployment import SERVICE_PORT, CommandError, Deployment

pytestmark = pytest.mark.timeout(900)

OUTSIDE = [sample for sample in SAMPLES if not sample.carrier]
"""Whose end can be seen from outside; who carried a parcel stands in shipping's books, which are for operators."""
REPLICAS = 4
WITHOUT_HEALTH = {"otel-collector", "jaeger"}
"""Their images have no program that could ask; telemetry-health asks for them."""
JOBS = {"secrets", "databases"}
FAIR_SHARE = 0.4
"""Of its share of the work, that each replica must have done at least. Which one a task goes to is chance."""


@pytest_asyncio.fixture(loop_scope="session")
async def shop(deployment: Deployment) -> AsyncIterator[Shop]:
    """What outsiders have: the orders' API, and an operator's token."""
    token = (await deployment.compose("exec", "-T", "demo", "cat", "/run/secrets/operator_token")).output
    async with aiohttp.ClientSession() as session:
        yield Shop(session, {"orchestrator": deployment.orders}, token.strip())


async def day(deployment: Deployment, shop: Shop, between_seconds: float) -> Day:
    """A day of orders from outside, with goods on the shelves."""
    run = uuid.uuid4().hex[:8]
    await deployment.tools("samples", "--stock", "--run", run)
    return Day(shop, run, samples=OUTSIDE, between_seconds=between_seconds)


def wrong(orders: Day, allowed: frozenset[str] = frozenset()) -> list[str]:
    """What ended otherwise than it should, and otherwise than is allowed."""
    return [
        f"{row.order_id}: {row.actual} instead of {row.sample.expected}"
        for row in orders.rows
        if not (row.right or row.actual in allowed)
    ]


async def test_all_containers_are_healthy(deployment: Deployment) -> None:
    states = {}
    for container in await deployment.containers(ended=True):
        state = container["State"]
        health = state.get("Health", {}).get("Status", "unasked")
        states[container["Config"]["Labels"]["com.docker.compose.service"]] = (
            state["Status"],
            state["ExitCode"],
            health,
        )
    assert set(SERVICES) < set(states)
    for service, (status, code, health) in states.items():
        if service in JOBS:
            assert (status, code) == ("exited", 0), service
        else:
            assert status == "running", service
            assert health == ("unasked" if service in WITHOUT_HEALTH else "healthy"), service


async def test_the_demos_orders_end_as_they_should_from_outside(deployment: Deployment, shop: Shop) -> None:
    orders = await day(deployment, shop, 0.2)
    await orders.run()
    assert wrong(orders) == []


async def test_sample_orders_flow_by_themselves(deployment: Deployment) -> None:
    async def flows() -> bool:
        said = (await deployment.compose("logs", "--no-log-prefix", "demo")).output
        return re.search(r"-fulfilled: fulfilled after [0-9.]+ s", said) is not None

    assert await eventually(flows, timeout=120)


async def test_outsiders_reach_no_metrics_and_no_books(deployment: Deployment) -> None:
    async with aiohttp.ClientSession(deployment.orders) as session:
        for path, expected in {"/metrics": 404, "/audit": 404, "/readyz": 404, "/openapi.json": 200}.items():
            async with session.get(path) as response:
                assert response.status == expected, path


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_reaches_what_it_needs_and_no_other_service(deployment: Deployment, service: str) -> None:
    others = [name for name in SERVICES if name != service]
    addresses = {}
    for name in (*others, "sandbox", "jaeger", "temporal", "postgres", "otel-collector"):
        [container] = await deployment.containers(name)
        addresses[name] = [network["IPAddress"] for network in container["NetworkSettings"]["Networks"].values()]
    ports = {"temporal": 7233, "postgres": 5432, "otel-collector": 4318, "jaeger": 16686}
    # By its name, and by every address that it has in any network.
    targets = [
        (name, place, ports.get(name, SERVICE_PORT)) for name, found in addresses.items() for place in (name, *found)
    ]
    program = (
        "import json, socket, sys\n"
        "def opens(host, port):\n"
        "    try:\n"
        "        socket.create_connection((host, port), 1.5).close()\n"
        "    except OSError:\n"
        "        return False\n"
        "    return True\n"
        "print(json.dumps([name for name, host, port in json.loads(sys.argv[1]) if opens(host, port)]))"
    )
    done = await deployment.python(service, program, json.dumps(targets))
    needed = {"temporal", "postgres", "otel-collector"} | ({"sandbox"} if service != "inventory" else set())
    assert set(json.loads(done.output)) == needed, done.errors


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_can_open_its_own_database_and_no_other(deployment: Deployment, service: str) -> None:
    program = (
        "import pathlib, sys, psycopg\n"
        "own = pathlib.Path(f'/run/secrets/{sys.argv[1]}_database_url').read_text()\n"
        "for name in sys.argv[2:]:\n"
        "    try:\n"
        "        psycopg.connect(own.rpartition('/')[0] + '/' + name, connect_timeout=5).close()\n"
        "        print(name)\n"
        "    except psycopg.OperationalError as error:\n"
        "        assert 'permission denied for database' in str(error), error\n"
    )
    done = await deployment.python(service, program, service, *SERVICES, "postgres", "template1")
    assert (done.code, done.output.split()) == (0, [service]), done.errors


async def test_each_part_reads_its_own_secrets_and_nothing_shows_them(deployment: Deployment) -> None:
    program = "import os; print(*sorted(os.listdir('/run/secrets')))"
    for service in SERVICES:
        names = (await deployment.python(service, program)).output.split()
        assert {f"{service}_database_url", f"{service}_operator_token"} <= set(names)
        assert all(name.startswith(f"{service}_") for name in names), names
    read = "import pathlib; print(pathlib.Path('/run/secrets/shipping_webhook_secret').read_text())"
    secret = (await deployment.python("shipping", read)).output.strip()
    assert len(secret) == 48
    assert secret not in json.dumps(await deployment.containers(ended=True))
    assert secret not in (await deployment.compose("logs", "--no-color")).output


async def test_containers_are_not_root_and_cannot_write(deployment: Deployment) -> None:
    program = (
        "import os, shutil\n"
        "assert os.getuid() == 10001, os.getuid()\n"
        "assert not any(map(shutil.which, ('gcc', 'cc', 'uv', 'strip'))), 'tools of the build'\n"
        "for path in ('/app/x', '/etc/x', '/run/secrets/x'):\n"
        "    try:\n"
        "        open(path, 'w')\n"
        "    except OSError:\n"
        "        continue\n"
        "    raise SystemExit(path + ' can be written')\n"
    )
    for service in (*SERVICES, "sandbox"):
        done = await deployment.python(service, program)
        assert done.code == 0, f"{service}: {done.output}{done.errors}"


async def test_spans_leave_every_service(deployment: Deployment) -> None:
    program = (
        "import urllib.request\n"
        "text = urllib.request.urlopen('http://127.0.0.1:8080/metrics', timeout=5).read().decode()\n"
        "print(*(line.split()[-1] for line in text.splitlines() if line.startswith('telemetry_spans_exported_total')))"
    )
    for service in SERVICES:

        async def exported(service: str = service) -> bool:
            return float((await deployment.python(service, program)).output) > 0

        assert await eventually(exported, timeout=60)


async def test_prometheus_scrapes_every_replica(deployment: Deployment) -> None:
    url = f"http://127.0.0.1:{deployment.environment['WAYBILL_PROMETHEUS_PORT']}/api/v1/targets"

    async def scraped() -> bool:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            targets = (await response.json())["data"]["activeTargets"]
        health = {target["labels"]["job"]: target["health"] for target in targets}
        wanted = {*SERVICES, "temporal", "audit"}
        assert {job for job in wanted if health.get(job) == "up"} == wanted, health
        return True

    await eventually(scraped, timeout=90)


async def activities(deployment: Deployment, service: str, replicas: int) -> list[float]:
    """How many activities each replica has run, from its own metrics."""
    program = (
        "import urllib.request\n"
        "text = urllib.request.urlopen('http://127.0.0.1:8080/metrics', timeout=5).read().decode()\n"
        "name = 'temporal_activity_execution_latency_seconds_count'\n"
        "print(sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name)))"
    )
    asked = [deployment.python(service, program, index=index) for index in range(1, replicas + 1)]
    return [float(done.output) for done in await asyncio.gather(*asked)]


async def test_a_pool_scales_up_and_down_while_orders_flow_and_its_replicas_share_the_work(
    deployment: Deployment, shop: Shop
) -> None:
    orders = await day(deployment, shop, 0.3)
    flowing = asyncio.create_task(orders.run())
    await deployment.up(
        "--no-recreate", "--scale", f"shipping={REPLICAS}", "--scale", "orchestrator=2", "shipping", "orchestrator"
    )
    before = await activities(deployment, "shipping", REPLICAS)
    second = await day(deployment, shop, 0.3)
    await asyncio.gather(flowing, second.run())
    after = await activities(deployment, "shipping", REPLICAS)
    done = [now - then for now, then in zip(after, before, strict=True)]
    assert min(done) > FAIR_SHARE * sum(done) / REPLICAS, done

    third = await day(deployment, shop, 0.2)
    flowing = asyncio.create_task(third.run())
    await deployment.up(
        "--no-recreate", "--scale", "shipping=1", "--scale", "orchestrator=1", "shipping", "orchestrator"
    )
    await flowing
    assert wrong(orders) + wrong(second) + wrong(third) == []
    assert len(await deployment.containers("shipping")) == 1


@pytest.mark.parametrize("service", [*SERVICES, "sandbox", "temporal", "postgres"])
async def test_a_container_that_crashes_comes_back_and_no_order_is_lost(
    deployment: Deployment, shop: Shop, service: str
) -> None:
    orders = await day(deployment, shop, 0.2)
    flowing = asyncio.create_task(orders.run())
    await eventually(lambda: any(row.status and row.status != "sent" for row in orders.rows))  # some are under way
    container = await deployment.crash(service)

    async def back() -> bool:
        [found] = json.loads((await deployment.docker("inspect", container)).output)
        return bool(found["RestartCount"] == 1 and found["State"].get("Health", {}).get("Status") == "healthy")

    assert await eventually(back, timeout=120)
    await flowing
    # While all carriers are silent an order ends so, as it should.
    assert wrong(orders, frozenset({"rejected: no_carrier"} if service == "sandbox" else ())) == []


async def test_a_service_that_is_told_to_stop_drains_and_ends_by_itself(deployment: Deployment) -> None:
    await deployment.compose("stop", *SERVICES)
    # Who had to be killed at the end of the grace period says 137.
    codes = {name: (await deployment.containers(name, ended=True))[0]["State"]["ExitCode"] for name in SERVICES}
    assert codes == dict.fromkeys(SERVICES, 0)
    await deployment.up()


async def test_a_missing_secret_file_is_named_in_one_line(deployment: Deployment) -> None:
    run = ["run", "--rm", "--no-deps", "-T", "-e", "WAYBILL_SECRETS_DIR=/tmp", "shipping"]
    done = await deployment.compose(*run, check=False)
    assert done.code == 2
    said = [line for line in (done.output + done.errors).splitlines() if line.startswith("SHIPPING_")]
    assert "SHIPPING_WEBHOOK_SECRET: is required, and there is no file /tmp/shipping_webhook_secret" in said


async def test_a_database_with_an_older_schema_is_said_and_waited_for(deployment: Deployment) -> None:
    psql = ["exec", "-T", "postgres", "psql", "--username=postgres", "--quiet", "--command"]
    await deployment.compose(*psql, "CREATE DATABASE old OWNER inventory")
    # The same role and password, another database: one without any migration.
    shell = (
        "import os, pathlib; url = pathlib.Path('/run/secrets/inventory_database_url').read_text();"
        "os.environ['INVENTORY_DATABASE_URL'] = url.rpartition('/')[0] + '/old';"
        "os.execvp('timeout', ['timeout', '15', 'python', '-m', 'inventory'])"
    )
    run = ["run", "--rm", "--no-deps", "-T", "-e", "INVENTORY_MIGRATE_AT_START=false", "--entrypoint", "python"]
    done = await deployment.compose(*run, "inventory", "-c", shell, check=False)
    assert "the schema is not up to date, and this process was told not to migrate it" in done.output + done.errors


async def test_a_second_up_changes_nothing(deployment: Deployment) -> None:
    before = {container["Id"] for container in await deployment.containers()}
    await deployment.up()
    assert {container["Id"] for container in await deployment.containers()} == before


async def test_the_books_fit_together_after_all_of_it(deployment: Deployment) -> None:
    await deployment.compose("stop", "demo")
    done = await deployment.tools("audit", "--wait", "--timeout", "240", check=False)
    assert done.code == 0, done.output + done.errors
    found = re.search(r"checked (\d+) orders: no violations", done.output)
    assert found is not None, done.output
    assert int(found[1]) > len(OUTSIDE)


async def test_after_down_with_volumes_nothing_is_left(deployment: Deployment) -> None:
    await deployment.down()
    assert await deployment.left() == {}
    with pytest.raises(CommandError):
        await deployment.compose("exec", "-T", "demo", "true")
