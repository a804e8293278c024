"""How a load test ends: with a report, and with an exit code that says whether every order is accounted for."""

import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn, Self, cast

import aiohttp
import pytest
from temporalio.api.workflowservice.v1 import GetSystemInfoRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment

from waybill.demo.run import INTERRUPTED
from waybill.demo.screen import Screen
from waybill.load.arrivals import Spacing
from waybill.load.conduct import BAD, CANNOT, GOOD, Experiment, Trial, conduct
from waybill.load.cut import keeping
from waybill.load.mix import Mix
from waybill.load.options import Arrivals, Common, Whole
from waybill.load.plain import plain
from waybill.load.progress import Progress
from waybill.load.report.model import Section
from waybill.load.session import Session
from waybill.load.targets import LoadError
from waybill.load.whole import whole
from waybill.planning.measured import PlanError
from waybill.planning.reports import read
from waybill.stack.spec import StackError

from .load_deployment import FULFILLED, FakeDeployment, FakeTarget, entered, orders

SHELF = {"sku": "TEA-250", "warehouse": "north", "on_hand": 3, "moved": 4, "held": 0, "lines": 0}


async def run(
    deployment: FakeDeployment, folder: Path, *experiments: Experiment, audited: bool = False
) -> tuple[int, dict[str, Any]]:
    async with deployment.served() as urls:
        if not audited:
            del urls["sandbox"]
        trial = Trial("fake", "Load", folder, entered(FakeTarget(urls)), experiments or (orders,), {})
        code, _ = await conduct(trial, Progress(Screen(), silent=True))
    document: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return code, document


async def test_orders_that_all_ended_as_they_should_are_good(tmp_path: Path) -> None:
    code, document = await run(FakeDeployment(), tmp_path, audited=True)
    assert (code, document["good"]) == (GOOD, True)
    assert document["verdict"] == "3 orders sent, 3 ended; the audit checked 0 and found no violations."


async def test_orders_of_which_nobody_knows_are_bad(tmp_path: Path) -> None:
    deployment = FakeDeployment()
    deployment.status, deployment.written = 503, False
    code, document = await run(deployment, tmp_path)
    assert (code, document["good"]) == (BAD, False)
    assert "none was taken; 3 of which nobody knows (answered 503)" in document["verdict"]


async def test_a_report_with_an_order_of_which_nobody_knows_is_none_to_plan_from(tmp_path: Path) -> None:
    deployment = FakeDeployment()

    async def one_unknown(session: Session) -> Section:
        await session.ledger.place(FULFILLED, "load", session.clock.now())
        deployment.status, deployment.written = 503, False
        await orders(session)
        return Section("Orders at a rate")

    await run(deployment, tmp_path, one_unknown)
    with pytest.raises(PlanError, match="did not end well: 4 orders sent, 1 ended; 3 of which nobody knows"):
        read(tmp_path)


async def test_an_order_whose_answer_was_an_error_and_that_ended_all_the_same_is_good(tmp_path: Path) -> None:
    deployment = FakeDeployment()
    deployment.status = 503
    code, document = await run(deployment, tmp_path)
    assert (code, document["good"]) == (GOOD, True), document["verdict"]


async def test_orders_that_are_refused_at_the_door_are_bad(tmp_path: Path) -> None:
    deployment = FakeDeployment()
    deployment.status, deployment.written = 422, False
    code, document = await run(deployment, tmp_path)
    assert (code, document["good"]) == (BAD, False)
    assert "none was taken; 3 refused at the door (answered 422)" in document["verdict"]


async def test_orders_that_ended_otherwise_than_their_kind_says_are_bad(tmp_path: Path) -> None:
    deployment = FakeDeployment()
    deployment.ends = ("rejected", "no_carrier")
    code, document = await run(deployment, tmp_path)
    assert (code, document["good"]) == (BAD, False)
    assert "3 ended otherwise than they should" in document["verdict"]
    assert "-000000: rejected: no_carrier, not fulfilled" in document["verdict"]


async def test_orders_that_were_taken_and_did_not_end_are_bad(tmp_path: Path) -> None:
    deployment = FakeDeployment()
    deployment.ends = None
    code, document = await run(deployment, tmp_path)
    assert (code, document["good"]) == (BAD, False)
    assert "3 accepted and not ended (load" in document["verdict"]


async def test_what_the_audit_finds_is_bad(tmp_path: Path) -> None:
    deployment = FakeDeployment()
    deployment.discrepancies = [SHELF]
    code, document = await run(deployment, tmp_path, audited=True)
    assert (code, document["good"]) == (BAD, False)
    assert "TEA-250 in north" in document["violations"][0]


async def test_an_audit_that_cannot_be_made_could_not_be_done_and_is_no_violation(tmp_path: Path) -> None:
    deployment = FakeDeployment()
    deployment.answers = {"GET /payments/audit": 400}
    code, document = await run(deployment, tmp_path, audited=True)
    assert (code, document["good"]) == (CANNOT, False)
    assert document["violations"] == []
    assert "the audit could not be made: payments answers 400 to GET /audit" in document["verdict"]


async def test_what_cannot_be_done_is_said_beside_what_was_measured(tmp_path: Path) -> None:
    async def impossible(_: Session) -> Section:
        raise LoadError("there is no such pool")

    code, document = await run(FakeDeployment(), tmp_path, orders, impossible)
    assert (code, document["good"]) == (CANNOT, False)
    assert [section["title"] for section in document["sections"]] == ["Three orders"]
    assert "could not go on: there is no such pool" in document["verdict"]


async def test_what_somebody_stops_says_nothing_against_orders_that_are_under_way(tmp_path: Path) -> None:
    deployment = FakeDeployment()
    deployment.ends = None

    async def stopped(session: Session) -> Section:
        session.stop.set()
        return await orders(session)

    code, document = await run(deployment, tmp_path, stopped, orders)
    assert code == INTERRUPTED
    assert document["interrupted"]
    assert [section["title"] for section in document["sections"]] == ["Three orders"]
    assert "3 under way when it was stopped; not audited, since it was stopped" in document["verdict"]


async def test_what_somebody_stops_is_bad_all_the_same_where_orders_were_refused(tmp_path: Path) -> None:
    deployment = FakeDeployment()
    deployment.status, deployment.written = 401, False

    async def stopped(session: Session) -> Section:
        section = await orders(session)
        session.stop.set()
        return section

    code, document = await run(deployment, tmp_path, stopped)
    assert (code, document["good"]) == (BAD, False)


async def test_orders_csv_and_samples_lie_beside_the_report(tmp_path: Path) -> None:
    await run(FakeDeployment(), tmp_path)
    assert len((tmp_path / "orders.csv").read_text().splitlines()) == 1 + 3
    assert (tmp_path / "samples.csv").read_text().startswith("seconds,")


class UnreadableTemporal:
    """Knows nothing that it is asked."""

    @property
    def workflow_service(self) -> Self:
        return self

    async def get_system_info(self, request: GetSystemInfoRequest, timeout: timedelta) -> NoReturn:  # noqa: ASYNC109 - as the SDK has it
        raise _not_found()

    def list_workflows(self, query: str) -> NoReturn:
        raise _not_found()

    async def count_workflows(self, query: str) -> NoReturn:
        raise _not_found()


def _not_found() -> RPCError:
    return RPCError("Namespace mars is not found", RPCStatusCode.NOT_FOUND, b"")


@pytest.mark.parametrize(
    "error", [_not_found(), aiohttp.ServerDisconnectedError(), TimeoutError(), OSError("no such device")], ids=repr
)
async def test_what_was_measured_is_kept_whatever_fails_after_it(error: Exception, tmp_path: Path) -> None:
    async def failing(_: Session) -> Section:
        raise error

    code, document = await run(FakeDeployment(), tmp_path, orders, failing)
    assert code == CANNOT
    assert [section["title"] for section in document["sections"]] == ["Three orders"]
    assert f"could not go on: {str(error) or type(error).__name__}" in document["verdict"]


async def test_points_that_were_measured_are_kept_where_the_next_cannot_be(tmp_path: Path) -> None:
    few = Whole(replicas=(1, 2, 4), provider_seconds=0.0, arrivals=Arrivals(20.0, 0.2, spacing=Spacing.STEADY))

    class Small(FakeTarget):
        async def scale(self, service: str, replicas: int) -> None:
            if replicas > 2:
                raise StackError(f"{service} x {replicas} did not come up")

    async def experiment(session: Session) -> Section:
        return await whole(session, Common(Mix({"fulfilled": 1}), warm_up=0), few)

    deployment = FakeDeployment()
    async with deployment.served() as urls:
        del urls["sandbox"]
        trial = Trial("fake", "Load", tmp_path, entered(Small(urls)), (experiment, orders), {})
        code, document = await conduct(trial, Progress(Screen(), silent=True))
    assert document is not None
    assert code == CANNOT, document.verdict
    [section] = document.sections
    points = cast(list[dict[str, Any]], section.results["points"])
    assert [(point["replicas"], point["orders_sent"]) for point in points] == [(1, 4), (2, 4)]
    assert "could not go on: shipping x 4 did not come up" in document.verdict


async def test_a_conclusion_that_goes_wrong_costs_nothing_of_what_it_was_drawn_from(tmp_path: Path) -> None:
    def nonsense(_: Sequence[Section]) -> Section:
        raise KeyError("temporal")

    async with FakeDeployment().served() as urls:
        del urls["sandbox"]
        trial = Trial("fake", "Load", tmp_path, entered(FakeTarget(urls)), (orders,), {}, (nonsense,))
        with pytest.raises(KeyError):
            await conduct(trial, Progress(Screen(), silent=True))
    document = json.loads((tmp_path / "report.json").read_text())
    assert [section["title"] for section in document["sections"]] == ["Three orders"]
    assert (tmp_path / "report.html").exists()
    assert len((tmp_path / "orders.csv").read_text().splitlines()) == 1 + 3


async def test_conclusions_stand_behind_what_they_are_drawn_from(tmp_path: Path) -> None:
    async with FakeDeployment().served() as urls:
        del urls["sandbox"]
        drawn = (lambda _: None, lambda found: Section(f"Of {found[0].title}"))
        trial = Trial("fake", "Load", tmp_path, entered(FakeTarget(urls)), (orders,), {}, drawn)
        _, document = await conduct(trial, Progress(Screen(), silent=True))
    assert document is not None
    assert [section.title for section in document.sections] == ["Three orders", "Of Three orders"]
    assert "Of Three orders" in (tmp_path / "report.html").read_text()


async def test_an_experiment_without_a_point_keeps_the_error_that_ended_it() -> None:
    with pytest.raises(StackError, match="did not come up"), keeping([], lambda: Section("nothing")):
        raise StackError("shipping did not come up")


async def test_histories_that_cannot_be_read_are_a_warning_and_cost_no_figure(tmp_path: Path) -> None:
    few = Arrivals(rate=20.0, seconds=0.2, spacing=Spacing.STEADY)
    common = Common(Mix({"fulfilled": 1}), warm_up=0, delivery_seconds=0.0)

    async def without_histories(session: Session) -> Section:
        session.client = cast(Client, UnreadableTemporal())
        return await plain(session, common, few)

    code, document = await run(FakeDeployment(), tmp_path, without_histories)
    assert code == GOOD, document["verdict"]
    [section] = document["sections"]
    assert section["results"]["orders_ended"] == 4
    assert section["results"]["anatomy"] == {}
    said = " ".join(section["warnings"])
    assert "Histories of orders of kind fulfilled could not be read: Namespace mars is not found." in said
    assert "Whether parcels came to their ends is not known" in said


async def test_a_namespace_that_is_not_there_is_found_out_before_anything_is_sent(
    dev_server: WorkflowEnvironment, tmp_path: Path
) -> None:
    deployment = FakeDeployment()
    async with deployment.served() as urls:
        target = FakeTarget(urls, dev_server.client.service_client.config.target_host, "mars")
        trial = Trial("fake", "Load", tmp_path, entered(target), [orders], {})
        with pytest.raises(LoadError, match="does not open namespace mars"):
            await conduct(trial, Progress(Screen(), silent=True))
    assert not any("/orders" in each for each in deployment.asked)


async def test_temporal_that_does_not_answer_is_named(tmp_path: Path) -> None:
    async with FakeDeployment().served() as urls:
        trial = Trial("fake", "Load", tmp_path, entered(FakeTarget(urls, "127.0.0.1:9")), [orders], {})
        with pytest.raises(LoadError, match=r"Temporal does not answer at 127\.0\.0\.1:9"):
            await conduct(trial, Progress(Screen(), silent=True))
