"""What a plan is made of: queueing, costs of an order, forecasts, and how near they come."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waybill.load.options import Short
from waybill.load.report.model import Section
from waybill.load.targets import Embedded
from waybill.planning.compare import ALL, Pair, compare, of_one_report, tables
from waybill.planning.forecast import CPU, LEAST, Options, forecast, warnings
from waybill.planning.measured import Costs, PlanError, Pool, Queue, costs
from waybill.planning.queueing import busy, delay_probability, waiting
from waybill.stack import SERVICES, Stack
from waybill.stack.plan import PORTS

from . import planning_recorded as recorded

USUAL = Options()
rates = st.floats(min_value=0.01, max_value=500)
shares = st.floats(min_value=0.0, max_value=5.0)


def known(figures: dict[str, Any] | None = None) -> Costs:
    told = figures if figures is not None else recorded.results()
    return costs(told, told["while_orders_came"], told["orders_sent"])


def with_pool(cpu: float = 0.0, activity: float = 0.0, workflow: float = 0.0, slots: float = 50.0) -> Costs:
    """Costs in which shipping has some of its own."""
    queues = {"activity": Queue(5.0, activity, slots), "workflow": Queue(5.0, workflow, slots)}
    basis = known()
    return replace(basis, pools={**basis.pools, "shipping": Pool(1, cpu, 1e8, queues, 1.0, 1.0)})


@pytest.mark.parametrize(
    ("load", "servers", "probability"),
    [
        # Tables of Erlang C: 8 channels with 3.87 erlangs delay 5 % of calls, 10 with 4.08 delay 1 %.
        (3.87, 8, 0.05),
        (4.08, 10, 0.01),
        # T. S. Rappaport, Wireless Communications, 2nd edition, example 3.6: 15 channels with 9 erlangs delay 5 %.
        (9.0, 15, 0.05),
        # With one server it is the server's utilisation.
        (0.75, 1, 0.75),
    ],
)
def test_the_share_that_waits_is_that_of_published_tables(load: float, servers: int, probability: float) -> None:
    assert delay_probability(load, servers) == pytest.approx(probability, rel=0.04)


@pytest.mark.parametrize(
    ("rate", "served", "servers", "length"),
    # R. Bronson, Theory and Problems of Operations Research (1982), problems 23.14, 23.3 and 24.6.
    [(30, 40, 1, 2.25), (24, 30, 1, 3.2), (300, 182.5, 3, 0.352)],
)
def test_how_many_wait_is_what_a_textbook_works_out(rate: float, served: float, servers: int, length: float) -> None:
    assert waiting(busy(rate, 1 / served), servers) == pytest.approx(length, rel=0.002)


def test_a_thousand_servers_are_no_overflow() -> None:
    assert 0 < waiting(990.0, 1000) < 1000
    assert delay_probability(600.0, 1000) == pytest.approx(0.0, abs=1e-40)


def test_where_more_comes_than_can_be_done_all_wait_and_ever_more() -> None:
    assert (delay_probability(3.0, 3), waiting(3.0, 3)) == (1.0, math.inf)
    assert (delay_probability(0.0, 3), waiting(0.0, 3)) == (0.0, 0.0)


@pytest.mark.parametrize(("load", "servers"), [(1.0, 0), (-0.1, 2), (math.nan, 2), (math.inf, 2)])
def test_a_queue_that_cannot_be_is_refused(load: float, servers: int) -> None:
    with pytest.raises(ValueError, match="no queue has"):
        waiting(load, servers)


@given(st.floats(0.0, 200.0), st.integers(1, 200))
def test_one_server_more_never_lets_more_wait(load: float, servers: int) -> None:
    assert 0 <= delay_probability(load, servers + 1) <= delay_probability(load, servers) <= 1
    assert waiting(load, servers + 1) <= waiting(load, servers)


def test_costs_are_those_of_the_report() -> None:
    found = known()
    assert found.orders_per_second == recorded.RATE
    assert found.cpu_seconds == pytest.approx(recorded.CPU)  # neither the world outside nor the generator
    shipping = found.pools["shipping"]
    assert shipping.queues["activity"] == Queue(tasks=2.0, slot_seconds=0.5, slots=50.0)
    assert found.history is not None
    assert found.history.events == pytest.approx(0.75 * 160 + 0.25 * 200)  # by the shares of the mix
    assert (found.delivered, found.gaps) == (True, ())


def test_replicas_of_a_run_are_added_up_and_their_slots_divided() -> None:
    figures = recorded.results()
    figures["cpu_seconds_per_order"]["shipping-2"] = 0.04
    figures["memory_bytes"]["shipping-2"] = 3 * recorded.MEMORY
    found = known(figures).pools["shipping"]
    assert found.replicas == 2
    assert found.cpu_seconds == pytest.approx(0.1)
    assert found.memory_bytes == 2 * recorded.MEMORY
    assert found.queues["workflow"].slots == 25.0


def test_a_run_in_which_parcels_are_under_way_does_not_count_as_delivered() -> None:
    figures = recorded.results()
    figures["anatomy"]["two-parcels"]["open_by_type"] = {"shipping.TrackShipment": 0.1}
    assert not known(figures).delivered
    del figures["anatomy"]["two-parcels"]["open_by_type"]  # as in a report of before
    assert not known(figures).delivered


def test_what_a_run_does_not_tell_is_a_gap_rather_than_a_nought() -> None:
    figures = recorded.results()
    for server in ("postgres", "temporal"):
        del figures["cpu_seconds_per_order"][server]
    del figures["anatomy"], figures["db_writes_per_order"]["payments"], figures["db_bytes_per_order"]
    for kind in ("workflow", "activity"):
        figures["queues"][f"inventory/{kind}"] |= {"slots_used_mean": None, "slots_mean": None}
    found = known(figures)
    assert len(found.gaps) == 5
    plan = forecast(found, 100.0, USUAL)
    assert (plan.temporal, plan.db_writes_per_second, plan.db_bytes_per_day) == (None, None, None)
    assert plan.servers_cores == {}
    assert plan.pools["inventory"].asked.keys() == {LEAST, CPU}
    assert plan.pools["inventory"].tasks_waiting is None


def test_kinds_of_orders_whose_histories_were_not_read_do_not_make_the_others_smaller() -> None:
    figures = recorded.results()
    figures["anatomy"]["two-parcels"] = {"orders": 0}
    found = known(figures)
    assert found.history is not None
    assert found.history.events == 160
    assert any("two-parcels" in gap for gap in found.gaps)


@pytest.mark.parametrize("service", SERVICES)
def test_without_a_services_cpu_there_is_no_plan(service: str) -> None:
    figures = recorded.results()
    del figures["cpu_seconds_per_order"][service]
    with pytest.raises(PlanError, match=service):
        known(figures)


@pytest.mark.parametrize("change", [{"orders_ended": 0}, {"orders_sent": 0}, {"while_orders_came": {"seconds": 0.0}}])
def test_a_run_without_orders_is_no_basis(change: dict[str, Any]) -> None:
    with pytest.raises(PlanError, match="no order"):
        known(recorded.results() | change)


@pytest.mark.parametrize(
    ("cpu", "activity", "workflow", "replicas", "decided"),
    [
        (0.001, 0.01, 0.01, 2, LEAST),
        (0.06, 0.01, 0.01, 10, CPU),  # 6 cores at 60 %
        (0.061, 0.01, 0.01, 11, CPU),
        (0.06, 3.1, 0.01, 11, "activity slots"),  # 310 slots, of which 30 of 50 may be in use
        (0.06, 0.01, 3.9, 13, "workflow slots"),
        (0.012, 0.6, 0.6, 2, LEAST),  # all ask for two
    ],
)
def test_who_asks_for_the_most_replicas_decides(
    cpu: float, activity: float, workflow: float, replicas: int, decided: str
) -> None:
    need = forecast(with_pool(cpu, activity, workflow), 100.0, USUAL).pools["shipping"]
    assert (need.replicas, need.decided_by) == (replicas, decided)
    assert need.asked[decided] == max(need.asked.values()) == replicas


@settings(deadline=None, max_examples=50)
@given(rates, rates, shares, shares, shares, st.floats(1.0, 1000.0), st.floats(0.2, 1.0))
def test_more_orders_never_need_fewer_replicas_and_always_enough(
    one: float, other: float, cpu: float, activity: float, workflow: float, slots: float, utilisation: float
) -> None:
    basis, options = with_pool(cpu, activity, workflow, slots), Options(utilisation)
    fewer, more = (forecast(basis, rate, options) for rate in sorted((one, other)))
    for name in SERVICES:
        assert 2 <= fewer.pools[name].replicas <= more.pools[name].replicas
        assert fewer.pools[name].memory_bytes <= more.pools[name].memory_bytes
    need = more.pools["shipping"]
    room = need.replicas * utilisation * (1 + 1e-6)
    assert need.cores <= room
    assert max(one, other) * max(activity, workflow) <= room * slots
    assert fewer.cores_to_provide <= more.cores_to_provide
    # Headroom is what keeps tasks from waiting for ever.
    assert utilisation > 0.99 or need.tasks_waiting is None or math.isfinite(need.tasks_waiting)


@settings(deadline=None, max_examples=50)
@given(rates)
def test_sums_are_those_of_their_parts(rate: float) -> None:
    plan = forecast(known(), rate, USUAL)
    pools = plan.pools.values()
    assert plan.cores_in_use == math.fsum([*(each.cores for each in pools), *plan.servers_cores.values()])
    assert plan.cores_in_use == pytest.approx(rate * sum(recorded.CPU.values()))
    assert plan.pools_memory_bytes == sum(each.replicas for each in pools) * recorded.MEMORY
    assert plan.db_writes_per_second == pytest.approx(rate * sum(recorded.WRITES.values()))
    assert plan.db_bytes_per_day == pytest.approx(rate * 4 * 1024 * 86_400)
    assert plan.temporal is not None
    assert plan.temporal.state_transitions_per_second == pytest.approx(100 * rate)
    assert plan.temporal.actions_per_second == pytest.approx(40 * rate)
    assert plan.temporal.history_bytes_per_day == pytest.approx(rate * 2**15 * 86_400)
    assert plan.temporal.history_bytes_kept == 3 * plan.temporal.history_bytes_per_day


@pytest.mark.parametrize(
    ("rate", "extrapolated", "far"),
    [(1.0, False, False), (2.1, False, False), (3.0, True, False), (1000.0, True, False), (1001.0, True, True)],
)
def test_what_the_run_did_not_have_is_an_extrapolation(rate: float, *, extrapolated: bool, far: bool) -> None:
    plan = forecast(known(), rate, USUAL)
    assert (plan.extrapolated, plan.far) == (extrapolated, far)
    assert plan.times_the_run == pytest.approx(rate / recorded.RATE)


def test_the_least_number_of_replicas_is_the_askers() -> None:
    assert {each.replicas for each in forecast(known(), 1.0, Options(least=1)).pools.values()} == {1}
    assert {each.replicas for each in forecast(known(), 1.0, Options(least=5)).pools.values()} == {5}


def test_it_is_said_from_where_on_the_gateways_rate_is_too_little() -> None:
    basis = known()  # two activities of payments an order
    assert warnings([forecast(basis, 50.0, USUAL)], basis) == []
    [said] = warnings([forecast(basis, 60.0, USUAL)], basis)
    assert "From 50 orders a second on" in said
    assert "PAYMENTS_GATEWAY_RATE" in said


def test_a_run_that_costs_the_same_is_predicted_exactly() -> None:
    found = compare(known(), known())
    assert found.cpu.keys() == {*recorded.CPU, ALL}
    assert {pair.ratio for pair in found.cpu.values()} == {1.0}
    assert found.slots["shipping/activity"].predicted == pytest.approx(1.0)
    assert found.slots["shipping/activity"].ratio == pytest.approx(1.0)


def test_another_rate_has_more_slots_in_use_by_littles_law_and_more_waiting_by_erlang() -> None:
    figures = recorded.results()
    figures["orders_sent"] = 2 * recorded.ORDERS
    figures["while_orders_came"]["queues"]["shipping/activity"] = recorded.queue(1.9, slots=3.0, backlog=0.5)
    found = compare(known(), known(figures))
    assert (found.from_rate, found.at_rate) == (2.0, 4.0)
    assert found.slots["shipping/activity"].predicted == pytest.approx(2.0)
    assert found.slots["shipping/activity"].ratio == pytest.approx(0.95)
    assert found.backlog["shipping/activity"].predicted == pytest.approx(8 / 9)  # M/M/3 with a load of 2
    assert found.backlog["shipping/activity"].measured == 0.5


def test_a_backlog_that_grows_is_no_number() -> None:
    figures = recorded.results()
    figures["while_orders_came"]["queues"]["shipping/activity"] = recorded.queue(1.0, slots=1.0, backlog=9.0)
    found = compare(known(), known(figures))
    pair = found.backlog["shipping/activity"]
    assert pair.predicted == math.inf
    assert found.as_json()["backlog"]["shipping/activity"] == {"predicted": None, "measured": 9.0, "ratio": None}
    [row] = [row for row in tables(found)[1].rows if row[0] == "shipping, activity"]
    assert row[3] == "grows"


@pytest.mark.parametrize(
    ("predicted", "ratio"), [(0.0, None), (1e-270, None), (9e-4, None), (1e-3, 2000.0), (4.0, 0.5)]
)
def test_next_to_nothing_has_no_multiples(predicted: float, ratio: float | None) -> None:
    assert Pair(predicted, 2.0).ratio == pytest.approx(ratio)
    assert Pair(predicted, 2.0).as_json()["predicted"] == predicted


def test_a_first_look_predicts_one_rate_from_another() -> None:
    small = Short()
    assert small.load.plan().orders / small.load.seconds == pytest.approx(1.0)
    assert small.whole.arrivals.rate >= 1.5 * small.load.rate


def test_what_only_one_of_two_runs_knows_is_not_compared() -> None:
    figures = recorded.results()
    del figures["cpu_seconds_per_order"]["temporal"]
    figures["while_orders_came"]["queues"]["shipping/activity"]["slots_mean"] = None
    found = compare(known(), known(figures))
    assert "temporal" not in found.cpu
    assert found.cpu[ALL].predicted == pytest.approx(sum(recorded.CPU.values()) - recorded.CPU["temporal"])
    assert "shipping/activity" not in found.slots


def sections(points: int = 2) -> list[Section]:
    """Orders at a rate; and whole orders, at twice that rate, which keep shipping's slots for four seconds."""
    made = []
    for replicas in range(1, points + 1):
        figures = recorded.results()
        figures["orders_sent"] = 2 * recorded.ORDERS
        for told in (figures, figures["while_orders_came"]):
            told["queues"]["shipping/activity"] = recorded.queue(8.0, slots=10.0 * replicas)
        made.append(
            {
                "replicas": replicas,
                "orders_sent": 2 * recorded.ORDERS,
                "machine_was_the_limit": False,
                "to_the_end": figures,
                **figures["while_orders_came"],
            }
        )
    return [
        Section("Orders at a rate", results=recorded.results()),
        Section("Whole orders", results={"service": "shipping", "points": made}),
    ]


def test_a_report_with_two_rates_sets_the_one_beside_the_other() -> None:
    found = of_one_report(sections())
    assert found is not None
    assert found.results["at_orders_per_second"] == 4.0
    slots = found.results["slots_in_use"]
    assert slots["shipping/activity"]["predicted"] == pytest.approx(16.0)  # from the first point: 4 s an order
    assert slots["payments/activity"]["predicted"] == pytest.approx(2.0)  # from orders at a rate: half a second
    assert [table.title for table in found.tables] == ["CPU of an order", "Slots in use, and tasks that wait"]


def test_a_pool_without_a_slot_is_not_compared_and_half_a_slot_is_one() -> None:
    figures = recorded.results()
    figures["while_orders_came"]["queues"]["shipping/activity"]["slots_mean"] = 0.0
    figures["while_orders_came"]["queues"]["payments/activity"]["slots_mean"] = 0.4
    found = compare(known(), known(figures))
    assert "shipping/activity" not in found.slots
    assert found.backlog["payments/activity"].predicted == math.inf


def test_replicas_that_had_less_than_a_slot_in_the_mean_have_one_in_a_plan() -> None:
    figures = recorded.results()
    figures["queues"]["shipping/activity"]["slots_mean"] = 0.4
    need = forecast(known(figures), 0.01, Options(least=1)).pools["shipping"]
    assert need.tasks_waiting is not None
    assert math.isfinite(need.tasks_waiting)


def test_millions_of_servers_take_no_time_and_the_short_way_is_the_long_one() -> None:
    assert waiting(1_000_000.0, 200_000_000) == 0.0
    assert waiting(100.0, 541) == 0.0
    assert 0.0 <= waiting(100.0, 540) < 1e-100


def test_a_report_without_a_servers_memory_sets_rates_beside_each_other_all_the_same() -> None:
    given = sections()
    del given[1].results["points"][-1]["to_the_end"]["memory_bytes"]["temporal"]
    assert of_one_report(given) is not None


def test_a_report_of_what_somebody_stopped_sets_nothing_beside_anything() -> None:
    whole = sections()
    assert of_one_report([]) is None
    assert of_one_report(whole[:1]) is None
    assert of_one_report(sections(points=1)) is None
    whole[0].results["orders_ended"] = 0  # type: ignore[index]
    assert of_one_report(whole) is None


class Down(Stack):
    """A stack of which nothing runs."""

    @property
    def urls(self) -> dict[str, str]:
        return {"temporal": "127.0.0.1:9"}

    @property
    def operator_token(self) -> str:
        return "operators"


async def test_a_database_that_is_down_costs_a_run_its_growth_and_not_its_report(tmp_path: Path) -> None:
    stack = Down(tmp_path / "stack")
    stack.ports = dict.fromkeys(PORTS, 9)  # nobody listens there
    assert await Embedded(stack).database_bytes() == {}
