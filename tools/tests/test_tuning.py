import gc
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from subprocess import run

import psutil
import psycopg
import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client
from temporalio.worker import PollerBehaviorAutoscaling, UnsandboxedWorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from chassis import database, sandboxing, service
from chassis.converter import DATA_CONVERTER
from chassis.database import Database
from chassis.settings import ServiceSettings
from waybill.bench import tuned, tuned_twin, twin
from waybill.bench.harness import Result, compete
from waybill.bench.run import GROUPS as ALL
from waybill.bench.sides import Alternative, OtherStack, Server, polling, serving
from waybill.bench.tables import DOCUMENT, FIGURES, FOLDER, markdown, renewed
from waybill.bench.tuning_choices import METRICS, ORDERS, SHIPPED, TWINS, Choice
from waybill.bench.tuning_contests import ALONE, GROUPS, ORDERS_A_RUN, Cast, contests
from waybill.bench.twin_contests import Side
from waybill.bench.twin_variants import Locally, OneByOne
from waybill.stack import ports
from waybill.stack.plan import PORTS, TEMPORAL_PRAGMAS, TEMPORAL_SETTINGS, Plan, base_environment

ROOT = Path(__file__).parents[2]


@pytest.fixture
def shipped(tmp_path: Path) -> list[str]:
    return Plan(tmp_path, ports.choose(PORTS, {}, {}), ui=False).temporal().command


def test_a_server_as_shipped_is_run_with_the_stacks_command_line(shipped: list[str]) -> None:
    assert Server().command(shipped) == shipped


def test_a_server_with_other_settings_differs_in_them_only(shipped: list[str]) -> None:
    other = Server(settings={"matching.x": "1"}, pragmas={"synchronous": "FULL"}).command(shipped)
    rest = [part for part in shipped if part not in other]
    settings = [f"{name}={value}" for values in (TEMPORAL_SETTINGS, TEMPORAL_PRAGMAS) for name, value in values.items()]
    assert rest == settings
    assert other[-4:] == ["--dynamic-config-value", "matching.x=1", "--sqlite-pragma", "synchronous=FULL"]


def test_a_server_without_a_file_has_none(shipped: list[str]) -> None:
    other = Server(file=False).command(shipped)
    assert set(shipped) - set(other) == {"--db-filename", shipped[shipped.index("--db-filename") + 1]}


def test_a_twin_is_given_options_that_json_has_no_form_for() -> None:
    given = tuned_twin.arguments(
        {"max_cached_workflows": 3, tuned_twin.AUTOSCALING: True, tuned_twin.UNSANDBOXED: True}
    )
    assert given.pop("max_cached_workflows") == 3
    assert isinstance(given.pop("workflow_runner"), UnsandboxedWorkflowRunner)
    assert given == {
        "workflow_task_poller_behavior": PollerBehaviorAutoscaling(),
        "activity_task_poller_behavior": PollerBehaviorAutoscaling(),
    }
    assert tuned_twin.arguments({tuned_twin.AUTOSCALING: False, tuned_twin.UNSANDBOXED: False}) == {}


def test_what_is_shipped_is_what_a_service_has_by_default() -> None:
    fields = ServiceSettings.model_fields
    assert SHIPPED.worker == {
        "max_concurrent_activities": fields["activity_slots"].default,
        "max_concurrent_workflow_tasks": fields["workflow_slots"].default,
        "max_cached_workflows": fields["cached_workflows"].default,
    }


@pytest.mark.parametrize(
    ("choice", "kind"), [("sdk-runner", SandboxedWorkflowRunner), ("unsandboxed", UnsandboxedWorkflowRunner)]
)
def test_a_service_can_be_run_with_another_runner(monkeypatch: pytest.MonkeyPatch, choice: str, kind: type) -> None:
    monkeypatch.setattr(sandboxing, "runner", sandboxing.runner)
    shared = sandboxing.runner([], DATA_CONVERTER).restrictions.passthrough_modules
    tuned.CHOICES[choice]()
    made = sandboxing.runner([], DATA_CONVERTER)
    assert type(made) is kind
    assert getattr(getattr(made, "restrictions", None), "passthrough_modules", set()) < shared


def test_a_service_can_be_run_without_prepared_statements(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {}

    def engine(_: object, **options: object) -> None:
        given.update(options)

    monkeypatch.setattr(database, "create_async_engine", engine)
    tuned.CHOICES["unprepared"]()
    Database("postgresql://a:b@127.0.0.1:1/c")
    connect = given["connect_args"]
    assert isinstance(connect, dict)
    assert connect["prepare_threshold"] is None
    assert "connect_timeout" in connect


def test_a_service_can_be_run_with_fewer_looks_for_garbage(monkeypatch: pytest.MonkeyPatch) -> None:
    before = gc.get_threshold()
    monkeypatch.setattr(service.Service, "worker", lambda *_: "a worker")
    try:
        tuned.CHOICES["gc-frozen"]()
        make: Callable[..., object] = service.Service.worker
        assert make(None, None) == "a worker"
        assert gc.get_freeze_count() > 0
        assert gc.get_threshold() > before
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)


def test_a_service_that_is_run_otherwise_is_still_the_service() -> None:
    command = [sys.executable, "-m", tuned.__name__, "payments"]
    ended = run(
        command, env={**base_environment(), tuned.CHOICE: "sdk-runner"}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert "PAYMENTS_DATABASE_URL: is required" in ended.stderr


async def test_a_stack_differs_in_what_is_asked_only(tmp_path: Path) -> None:
    other = Alternative(
        server=Server(settings={}, environment={"GOGC": "77"}),
        postgres={"fsync": "off"},
        choice="sdk-runner",
        env={"DATABASE_POOL": "3"},
    )
    async with OtherStack(tmp_path / "stack", other) as stack:
        temporal, payments = psutil.Process(stack.pids["temporal"]), psutil.Process(stack.pids["payments"])
        assert "--dynamic-config-value" not in temporal.cmdline()
        assert "--sqlite-pragma" in temporal.cmdline()
        assert temporal.environ()["GOGC"] == "77"
        assert tuned.__name__ in payments.cmdline()
        assert payments.environ()["PAYMENTS_DATABASE_POOL"] == "3"
        address = f"postgresql://postgres@127.0.0.1:{stack.ports['postgres']}/postgres"
        async with await psycopg.AsyncConnection.connect(address) as connection:
            cursor = await connection.execute("SELECT current_setting('fsync'), current_setting('synchronous_commit')")
            assert await cursor.fetchone() == ("off", "on")
        stack.hurry()


async def test_the_variants_of_the_twin_do_its_steps_otherwise(tmp_path: Path) -> None:
    queues = f"variants-{tmp_path.name}"
    async with serving(tmp_path, Server()) as server, polling(server.address, queues, {}) as workers:
        assert set(workers) == set(twin.SERVICES)
        client = await Client.connect(server.address)
        assert await _starts_before_a_result(client, await twin.place(client, queues)) == 2
        assert await _starts_before_a_result(client, await twin.place(client, queues, OneByOne)) == 1
        local = await twin.place(client, queues, Locally)
        for verb in ("reserve", "authorise", "plan", "book", "commit", "capture"):
            history = await client.get_workflow_handle(f"twin-{verb}:{local}").fetch_history()
            kinds = [event.event_type for event in history.events]
            assert EventType.EVENT_TYPE_MARKER_RECORDED in kinds
            assert EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED not in kinds


async def _starts_before_a_result(client: Client, order_id: str) -> int:
    """Most children of an order that were under way at a time."""
    history = await client.get_workflow_handle(f"twin-fulfil:{order_id}").fetch_history()
    most = under_way = 0
    for event in history.events:
        if event.HasField("start_child_workflow_execution_initiated_event_attributes"):
            under_way += 1
        if event.HasField("child_workflow_execution_completed_event_attributes"):
            under_way -= 1
        most = max(most, under_way)
    return most


class Theatre:
    """Opens sides that place nothing, and notes which were open when."""

    def __init__(self) -> None:
        self.open: list[Alternative] = []
        self.opened: list[Alternative] = []
        self.placed: list[str] = []

    @asynccontextmanager
    async def opening(self, other: Alternative) -> AsyncIterator[tuple[Side, Side]]:
        self.open.append(other)
        self.opened.append(other)
        yield self.side(other, "ours"), self.side(other, other.choice)
        self.open.remove(other)

    def side(self, other: Alternative, name: str) -> Side:
        async def place() -> None:
            assert self.open == [other]
            self.placed.append(name)

        # Names that every figure asks for; the process is ours, which has used some time already.
        return Side(place, lambda: {"temporal": os.getpid(), "postgres": os.getpid()}, settle_seconds=0)


async def test_each_choice_has_a_pair_of_its_own_and_its_figures_share_their_runs() -> None:
    theatre, one, other = Theatre(), Alternative(choice="one"), Alternative(choice="other")
    choices = [Choice("one", "", one, ("rate", "latency")), Choice("other", "", other, ("rate",))]
    async with aclosing(Cast(theatre.opening)) as cast:
        found = contests(cast, choices)
        assert theatre.opened == []
        results: list[Result] = [await compete(contest, 2) for contest in found]
        assert theatre.open == [other]
    assert theatre.open == []
    assert theatre.opened == [one, other]
    assert [result.name for result in results] == ["tuning_one_rate", "tuning_one_latency", "tuning_other_rate"]
    of_a_run = ORDERS_A_RUN + ALONE
    assert {name: theatre.placed.count(name) for name in ("ours", "one", "other")} == {
        "ours": 4 * of_a_run,
        "one": 2 * of_a_run,
        "other": 2 * of_a_run,
    }


def test_every_figure_of_every_choice_is_one_that_there_is() -> None:
    choices = [*TWINS, *ORDERS]
    assert {name for choice in choices for name in choice.figures} <= METRICS.keys()
    assert len({choice.name for choice in choices}) == len(choices)
    assert {choice.other.choice for choice in ORDERS} - {""} <= tuned.CHOICES.keys()
    assert all(name.startswith(("tuning_twin_", "tuning_order_")) for group in GROUPS for name in group.names)


def test_the_table_of_the_document_is_what_was_measured() -> None:
    document = (ROOT / DOCUMENT).read_text()
    assert document == renewed(document, ROOT / FOLDER), "python -m waybill.bench.tables"


@pytest.mark.parametrize(
    "document", ["", "<!-- figures.csv -->\n", "<!-- end of figures.csv -->\n<!-- figures.csv -->\n"]
)
def test_a_document_without_a_place_for_the_table_is_left_alone(document: str) -> None:
    with pytest.raises(ValueError, match="the document has no"):
        renewed(document, ROOT / FOLDER)


def test_the_table_of_figures_names_benchmarks_that_there_are() -> None:
    assert set(FIGURES) <= {name for group in ALL for name in group.names}


def test_a_table_has_a_row_for_each_contest_with_what_it_compares() -> None:
    rows = markdown([Result("a", "s", 0.12345, 2, 0.0617, 0.051, 0.0951, 5)], {"a": "this, against that"}).splitlines()
    assert rows[-1] == "| `a` | this, against that | 0.123 | 2 | 0.06 | 0.05 to 0.10 | s | 5 |"
    assert {row.count("|") for row in rows} == {9}
    with pytest.raises(KeyError):
        markdown([Result("gone", "s", 1, 1, 1, 1, 1, 5)], {})
