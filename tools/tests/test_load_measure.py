"""From what was watched to figures, and to what limited them."""

import random

import pytest

from waybill.load.latency import Latencies, over_time
from waybill.load.limits import Resource, limit
from waybill.load.measure import Window, drained, figures, slope
from waybill.load.mix import KINDS
from waybill.load.orders import Entry, Skew
from waybill.load.scrape import Memory, Scrape, parse, spread
from waybill.load.views import machine_warnings, of_both_kinds, percentiles
from waybill.load.watch import Mark, Sample, writes

METRICS = """\
# HELP temporal_worker_task_slots_used Slots.
# TYPE temporal_worker_task_slots_used gauge
temporal_worker_task_slots_used{service="shipping",task_queue="shipping",worker_type="ActivityWorker"} 9
temporal_activity_schedule_to_start_latency_seconds_bucket{task_queue="shipping",le="0.1"} 10
temporal_activity_schedule_to_start_latency_seconds_bucket{task_queue="shipping",le="0.5"} 30
temporal_activity_schedule_to_start_latency_seconds_bucket{task_queue="shipping",le="+Inf"} 40
temporal_activity_schedule_to_start_latency_seconds_sum{task_queue="shipping"} 20
temporal_activity_schedule_to_start_latency_seconds_count{task_queue="shipping"} 40
db_client_operation_duration_seconds_count{db_operation_name="INSERT"} 4.0
db_client_operation_duration_seconds_count{db_operation_name="SELECT"} 90.0
db_client_operation_duration_seconds_count{db_operation_name="UPDATE"} 2.0
somebody_elses_total{task_queue="shipping"} 7
process_start_time_seconds 1000.5
"""


def scrape(name: str, value: float, **labels: str) -> Scrape:
    said = ",".join(f'{key}="{label}"' for key, label in labels.items())
    return parse(f"{name}{{{said}}} {value}\n")


def test_only_what_is_needed_is_read() -> None:
    told = parse(METRICS)
    assert {series.name for series in told.values}.isdisjoint({"somebody_elses_total"})
    assert told.total("temporal_worker_task_slots_used", worker_type="ActivityWorker") == 9
    assert writes(told) == 6


def test_quantiles_lie_evenly_within_a_bucket() -> None:
    waited = spread(parse(METRICS), "temporal_activity_schedule_to_start_latency_seconds", task_queue="shipping")
    assert waited.mean == 0.5
    assert waited.quantile(0.25) == pytest.approx(0.1)
    assert waited.quantile(0.5) == pytest.approx(0.3)
    assert waited.quantile(0.99) == 0.5  # beyond the last bound it is only known that it is more


def test_a_histogram_of_nothing_has_no_quantiles() -> None:
    waited = spread(Scrape(), "temporal_activity_schedule_to_start_latency_seconds")
    assert (waited.mean, waited.quantile(0.5)) == (None, None)


def test_a_replica_that_goes_away_takes_no_count_with_it() -> None:
    memory, name = Memory(), "temporal_activity_execution_failed_total"
    memory.saw("shipping", scrape(name, 3))
    memory.saw("shipping-2", scrape(name, 4) + scrape("temporal_worker_task_slots_used", 5))
    memory.alive(["shipping"])
    assert memory.service("shipping").total(name) == 7
    assert memory.service("shipping").total("temporal_worker_task_slots_used") == 0  # a gauge of one that is gone


def test_a_replica_that_was_born_anew_adds_to_what_it_counted_before() -> None:
    memory, name, born = Memory(), "temporal_activity_execution_failed_total", "process_start_time_seconds"
    memory.saw("shipping", scrape(name, 3) + scrape(born, 1))
    memory.saw("shipping", scrape(name, 1) + scrape(born, 2))
    memory.saw("shipping", scrape(name, 2) + scrape(born, 2))
    assert memory.service("shipping").total(name) == 5


def test_replicas_that_answer_in_turns_behind_one_address_are_counted_each_for_itself() -> None:
    memory, name, born = Memory(since=100), "temporal_activity_execution_failed_total", "process_start_time_seconds"
    for step in range(10):
        memory.saw("shipping", scrape(name, 5_000 + step) + scrape(born, 1))
        memory.saw("shipping", scrape(name, 70_000 + 2 * step) + scrape(born, 2))
    assert memory.service("shipping").total(name) == 9 + 18  # since they were first seen
    memory.saw("shipping", scrape(name, 4) + scrape(born, 101))  # a third one comes
    memory.saw("shipping", scrape(name, 70_020) + scrape(born, 2))
    assert memory.service("shipping").total(name) == 9 + 20 + 4


def test_a_replica_that_comes_back_without_saying_when_it_was_born_takes_no_count_with_it() -> None:
    memory, name = Memory(since=100), "temporal_activity_execution_failed_total"
    memory.saw("shipping", scrape(name, 3))
    memory.saw("shipping", scrape(name, 8))
    memory.alive([])
    memory.saw("shipping", scrape(name, 1))
    memory.saw("shipping", scrape(name, 2))
    assert memory.service("shipping").total(name) == 5 + 1


def test_percentiles_are_those_of_what_was_recorded() -> None:
    found = Latencies(number / 1000 for number in range(1, 1001))
    assert found.percentile(50) == pytest.approx(0.5, rel=0.01)
    assert found.percentile(99) == pytest.approx(0.99, rel=0.01)
    assert found.summary()["count"] == 1000


def test_latencies_out_of_range_count_as_the_end_of_it() -> None:
    found = Latencies([-1.0, 0.0, 1e9])
    assert found.count == 3
    assert Latencies().percentile(50) is None


def test_percentiles_over_time_are_those_of_each_stretch() -> None:
    lines = over_time([(0.5, 1.0), (0.9, 1.0), (5.5, 3.0)], width=1.0, percents=[50.0])
    assert [(at, round(value)) for at, value in lines[50.0]] == [(0.5, 1), (5.5, 3)]


def test_a_slope_does_not_depend_on_where_in_a_batch_a_window_begins() -> None:
    """Ten slots with work of a second end ten tasks at once, again and again."""
    rates = []
    for begin in (0.01, 0.3, 0.6, 0.99):
        ends = [second + place / 1000 for second in range(100) for place in range(10)]
        rates.append(slope([each for each in ends if 20 + begin <= each <= 60 + begin]))
    assert rates == pytest.approx([10.0] * 4, rel=0.01)


def test_a_slope_of_random_ends_is_their_rate() -> None:
    chance = random.Random(5)
    ends = sorted(chance.uniform(0, 100) for _ in range(2_000))
    assert slope(ends) == pytest.approx(20, rel=0.05)
    assert slope(ends[:2]) is None


def test_a_backlog_is_drained_when_it_stays_down() -> None:
    line = [(0.0, 0.0), (10.0, 50.0), (20.0, 1.0), (30.0, 20.0), (40.0, 2.0), (50.0, 0.0)]
    assert drained(line, since=10.0, level=2.0) == 30.0
    assert drained(line[:4], since=10.0, level=2.0) is None
    assert drained(line, since=45.0, level=2.0) == 0.0
    assert drained([], since=0.0, level=2.0) is None


def mark(at: float, **values: float) -> Mark:
    return Mark(at, {name.replace("__", "/"): value for name, value in values.items()})


def window(*, busy: float = 5.0, backlog: float = 0.0, used: float = 0.0, slots: float = 10.0) -> Window:
    """Ten seconds on two cores, of which an amount was busy: 4 seconds by Temporal and shipping."""
    begin = mark(0, busy_seconds=0, all_seconds=0, cpu_seconds__temporal=1, cpu_seconds__shipping=1)
    end = mark(10, busy_seconds=busy, all_seconds=20, cpu_seconds__temporal=4, cpu_seconds__shipping=2)
    values = {
        "backlog/shipping/activity": backlog,
        "slots_used/shipping/activity": used / 2,
        "slots/shipping/activity": slots / 2,
        "slots_used/shipping-2/activity": used / 2,
        "slots/shipping-2/activity": slots / 2,
    }
    return Window(begin, end, [Sample(at, dict(values)) for at in range(10)])


def test_a_busy_machine_is_the_limit_whatever_else_is() -> None:
    found = limit(window(busy=19, backlog=50, used=10))
    assert found.resource is Resource.MACHINE
    assert found.machine
    assert "95%" in found.words
    assert "1.5 cores" in found.words  # 1.9 were busy, and 0.4 of them were ours


def test_parts_in_which_the_machine_was_the_limit_are_named() -> None:
    [said] = machine_warnings({"before": window(busy=10, backlog=50, used=10), "fault": window(busy=19.5)})
    assert said.startswith("fault: this machine: 98%")
    assert "as much the machine as the pools" in said


def test_full_slots_with_a_backlog_are_the_limit() -> None:
    found = limit(window(backlog=50, used=9.8))
    assert found.resource is Resource.SLOTS
    assert "10 activity slots" in found.words


def test_tasks_that_wait_beside_free_slots_are_held_back_by_a_rate() -> None:
    found = limit(window(backlog=50, used=4))
    assert found.resource is Resource.RATE
    assert "a rate limit of shipping" in found.words


def test_what_was_before_there_was_a_backlog_does_not_count_for_what_limited_it() -> None:
    """The longer part of a minute is a ramp with free slots; then tasks wait, and all slots are taken."""
    ramp = [Sample(at, {**window(used=2).samples[0].values, "backlog/shipping/activity": 1.0}) for at in range(20)]
    full = [Sample(at, dict(window(backlog=30, used=10).samples[0].values)) for at in range(20, 45)]
    whole = window()
    found = limit(Window(whole.begin, whole.end, [*ramp, *full]))
    assert found.resource is Resource.SLOTS
    assert found.words == "shipping's 10 activity slots"


def test_a_replica_that_drains_leaves_no_free_slots_to_the_tasks_that_wait() -> None:
    """Five samples: two replicas are full, the second one drains, and the first is full alone."""
    samples = window(backlog=30, used=10).samples[:5]
    samples[1].values["slots_used/shipping-2/activity"] = 1.0
    for sample in samples[2:]:
        sample.values = {name: value for name, value in sample.values.items() if "shipping-2" not in name}
    whole = window()
    found = limit(Window(whole.begin, whole.end, samples))
    assert found.resource is Resource.SLOTS
    assert found.words == "shipping's 5 to 10 activity slots"


@pytest.mark.parametrize(("absent", "resource"), [(8, Resource.ABSENT), (2, Resource.SLOTS)])
def test_a_pool_without_a_replica_is_told_from_one_that_is_full(absent: int, resource: Resource) -> None:
    whole = window(backlog=50, used=10)
    for place, sample in enumerate(whole.samples):
        sample.values |= {"busy_seconds": 1.0, "memory_bytes/payments": 1.0, "memory_bytes/shipping": 1.0}
        if place >= len(whole.samples) - absent:
            kept = ("backlog/", "busy_seconds", "memory_bytes/payments")
            sample.values = {name: value for name, value in sample.values.items() if name.startswith(kept)}
    found = limit(whole)
    assert found.resource is resource
    assert ("no replica" in found.words) == (resource is Resource.ABSENT)


def test_where_nothing_waits_nothing_is_the_limit() -> None:
    assert limit(window(used=9.9)).resource is Resource.NOTHING


def test_tasks_that_wait_where_slots_are_not_known_have_a_limit_that_is_not_known() -> None:
    whole = window(backlog=50)
    for sample in whole.samples:
        sample.values = {"backlog/shipping/activity": 50.0}
    assert limit(whole).resource is Resource.UNKNOWN


def entry(latency: float) -> Entry:
    return Entry("a", KINDS["fulfilled"], "load", intended=1.0, ended=1.0 + latency, outcome="fulfilled")


def test_what_an_order_costs_is_cpu_by_orders() -> None:
    whole = window()
    told = figures(Window(whole.begin, whole.end, whole.samples, [entry(1.0), entry(2.0)]))
    assert told["cpu_seconds_per_order"] == pytest.approx({"temporal": 1.5, "shipping": 0.5})
    assert told["temporal_share"] == pytest.approx(0.75)
    assert told["orders_per_second"] == pytest.approx(0.2)


def test_figures_of_a_window_without_orders_are_empty_rather_than_wrong() -> None:
    told = figures(window())
    assert told["cpu_seconds_per_order"] == {}
    assert told["latency_seconds"] == {"count": 0}


def test_a_clock_that_is_ahead_is_found_by_when_orders_came() -> None:
    skew = Skew()
    for sent in (100.0, 200.0, 300.0):
        skew.saw(created=sent + 5.02, sent=sent, answered=sent + 0.04)
    assert skew.seconds == pytest.approx(5.0, abs=0.02)


def test_clocks_that_may_agree_are_taken_to_agree() -> None:
    skew = Skew()
    assert skew.seconds == 0
    skew.saw(created=100.01, sent=100.0, answered=100.2)
    assert skew.seconds == 0


def ended(rate: float, seconds: float) -> list[Entry]:
    """Orders at a rate, each of which took a second."""
    begun = [number / rate for number in range(int(rate * seconds))]
    return [Entry(str(at), KINDS["fulfilled"], "load", 100.0 + at, ended=101.0 + at) for at in begun]


@pytest.mark.parametrize(
    ("rate", "seconds", "points", "said"),
    [
        (50.0, 60.0, 60, "a stretch of 1 s, with 50 orders in the mean"),
        (20.0, 300.0, 60, "a stretch of 5 s, with 100 orders in the mean"),
        (4.0, 120.0, 24, "a stretch of 4.99 s, with 20 orders in the mean"),
        (1.0, 120.0, 8, "a stretch of 14.9 s, with 15 orders in the mean"),
        (1.0, 5.0, 5, "a stretch of 1 s, with 1 orders in the mean"),
    ],
)
def test_a_stretch_of_a_chart_has_enough_orders_for_a_percentile_unless_nothing_could_be_seen_then(
    rate: float, seconds: float, points: int, said: str
) -> None:
    chart = percentiles(ended(rate, seconds), 100.0)
    assert [len(series.points) for series in chart.series] == [points] * 3
    assert said in chart.note


def test_a_backlog_is_the_sum_of_what_is_told_of_it() -> None:
    backlog = of_both_kinds("backlog/shipping")
    both = {"backlog/shipping/workflow": 2.0, "backlog/shipping/activity": 3.0}
    assert backlog(Sample(0.0, both)) == 5.0
    assert backlog(Sample(0.0, {"backlog/shipping/activity": 3.0})) == 3.0
    assert backlog(Sample(0.0, {"backlog/payments/activity": 3.0})) is None
