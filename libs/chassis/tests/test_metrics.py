import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter

from chassis.metrics import HttpMetrics, ServiceCollector, listed, primed
from chassis.problems import Problem, problem_middleware
from chassis.testing.serving import serve_app
from chassis.testing.waiting import eventually

COUNT = "http_server_request_duration_seconds_count"


@pytest_asyncio.fixture
async def served() -> AsyncIterator[tuple[CollectorRegistry, aiohttp.ClientSession]]:
    async def answer(request: web.Request) -> web.Response:
        match request.match_info["what"]:
            case "moved":
                raise web.HTTPFound("/elsewhere")
            case "refused":
                raise Problem(409, "Conflict", "It is there.")
            case "broken":
                raise LookupError("nobody foresaw it")
            case _:
                return web.Response()

    registry = CollectorRegistry()
    app = web.Application(middlewares=[HttpMetrics(registry).middleware, problem_middleware])
    app.add_routes([web.get("/things/{what}", answer), web.put("/things/{what}", answer)])
    async with serve_app(app) as url, aiohttp.ClientSession(url) as session:
        yield registry, session


@pytest.mark.parametrize(
    ("method", "path", "labels"),
    [
        ("GET", "/things/one", ("GET", "/things/{what}", "200")),
        ("PUT", "/things/two", ("PUT", "/things/{what}", "200")),
        ("GET", "/things/moved", ("GET", "/things/{what}", "302")),
        ("GET", "/things/refused", ("GET", "/things/{what}", "409")),
        ("GET", "/things/broken", ("GET", "/things/{what}", "500")),
        ("DELETE", "/things/one", ("DELETE", "unmatched", "405")),
        ("GET", "/nowhere/4711", ("GET", "unmatched", "404")),
        ("PROPFIND", "/things/one", ("_OTHER", "unmatched", "405")),
    ],
)
async def test_a_request_is_measured_by_method_route_and_the_status_that_its_client_got(
    served: tuple[CollectorRegistry, aiohttp.ClientSession], method: str, path: str, labels: tuple[str, str, str]
) -> None:
    registry, session = served
    async with session.request(method, path, allow_redirects=False) as response:
        assert str(response.status) == labels[2]
    names = ("http_request_method", "http_route", "http_response_status_code")
    series = dict(zip(names, labels, strict=True))
    await eventually(lambda: registry.get_sample_value(COUNT, series) == 1)
    [metric] = registry.collect()
    assert {tuple(sample.labels[name] for name in names) for sample in metric.samples} == {labels}


async def test_a_request_that_nobody_waits_for_any_more_has_no_status_and_is_not_measured() -> None:
    registry = CollectorRegistry()
    under_way = asyncio.Event()

    async def wait(_: web.Request) -> web.Response:
        under_way.set()
        await asyncio.Event().wait()
        return web.Response()

    app = web.Application(middlewares=[HttpMetrics(registry).middleware])
    app.add_routes([web.get("/", wait)])
    async with serve_app(app) as url, aiohttp.ClientSession(url) as session:
        asked = asyncio.ensure_future(session.get("/"))
        await under_way.wait()
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
    assert [sample for metric in registry.collect() for sample in metric.samples] == []


def test_each_series_names_the_service_and_stands_once() -> None:
    one, other = CollectorRegistry(), CollectorRegistry()
    Counter("eggs", "Of hens.", registry=one).inc()
    primed(Counter("loaves", "Of bakers.", ["kind"], registry=other), ["rye"])
    samples = [sample for metric in ServiceCollector("farm", one, other).collect() for sample in metric.samples]
    assert {sample.labels["service"] for sample in samples} == {"farm"}
    series = [(sample.name, *sorted(sample.labels.items())) for sample in samples]
    assert len(series) == len(set(series))
    assert ("eggs_total", ("service", "farm")) in series
    assert ("loaves_total", ("kind", "rye"), ("service", "farm")) in series
    assert {"process_cpu_seconds_total", "python_info"} <= {name for name, *_ in series}


def test_a_primed_counter_has_all_its_series_at_0() -> None:
    registry = CollectorRegistry()
    primed(Counter("steps", "Made.", ["who", "how"], registry=registry), ["you", "me"], ["fast", "slow"])
    values = {
        (sample.labels["who"], sample.labels["how"]): sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == "steps_total"
    }
    assert values == {("you", "fast"): 0, ("you", "slow"): 0, ("me", "fast"): 0, ("me", "slow"): 0}


def test_a_value_that_is_not_on_the_list_is_other() -> None:
    assert [listed(value, {"rye", "oat"}) for value in ("rye", "4711")] == ["rye", "other"]
