import json
from pathlib import Path

import pytest

from waybill.audit.rules import Violation
from waybill.audit.run import Report
from waybill.demo.day import Row
from waybill.demo.run import conclude, write_report
from waybill.demo.samples import CATALOGUE, SAMPLES, STORY, Act, Sample, describe
from waybill.demo.screen import Screen


def test_the_samples_show_every_outcome() -> None:
    endings = {sample.expected for sample in SAMPLES}
    reasons = {"out_of_stock", "unknown_sku", "declined", "no_carrier", "approval_refused", "approval_timed_out"}
    assert {f"rejected: {reason}" for reason in reasons} <= endings
    assert {"fulfilled", "fulfilled in 2 parcels", "fulfilled by steady", "partially_fulfilled", "cancelled"} <= endings
    assert any(ending.startswith("refused with 422") for ending in endings)
    assert {sample.act for sample in SAMPLES} >= set(Act)
    assert len(SAMPLES) >= 14


def test_the_cases_are_unique_and_their_ids_are_ids() -> None:
    cases = [sample.case for sample in SAMPLES]
    assert len(set(cases)) == len(cases)
    assert STORY in cases
    assert all(len(f"000000-00-{case}") <= 64 for case in cases)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.case)
def test_a_sample_orders_what_the_catalogue_has_unless_that_is_its_point(sample: Sample) -> None:
    known = {product.sku for product in CATALOGUE}
    assert set(sample.skus) <= known or sample.expected == "rejected: unknown_sku"
    body = sample.body("A-1")
    assert body["order_id"] == "A-1"
    assert [line["sku"] for line in body["lines"]] == list(sample.skus)


def test_an_ending_is_described_with_the_details_that_the_sample_asks_for() -> None:
    document = {"status": "rejected", "reason": "declined", "parcels": None}
    assert describe(document, Sample("a", "")) == "rejected: declined"
    sent = {"status": "fulfilled", "reason": None, "parcels": 2}
    assert describe(sent, Sample("a", "")) == "fulfilled"
    assert describe(sent, Sample("a", "", parcels=True)) == "fulfilled in 2 parcels"
    assert describe(sent, Sample("a", "", carrier=True), frozenset({"steady"})) == "fulfilled by steady"
    assert describe(sent, Sample("a", "", carrier=True)) == "fulfilled by nobody"


def test_the_report_is_what_machines_expect_and_the_code_says_whether_all_is_well(tmp_path: Path) -> None:
    good = Row(SAMPLES[0], "A", "fulfilled", "fulfilled", 0.0, 1.23456)
    bad = Row(SAMPLES[1], "B", "reserving", None, 0.0, None)
    clean, dirty = Report(2, 0, ()), Report(2, 0, (Violation("A", "stock", "odd"),))
    path = tmp_path / "deep" / "demo.json"
    write_report(path, [good, bad], dirty)
    assert json.loads(path.read_text()) == {
        "orders": [
            {"order_id": "A", "case": "fulfilled", "expected": "fulfilled", "actual": "fulfilled", "seconds": 1.235},
            {
                "order_id": "B",
                "case": "two-parcels",
                "expected": "fulfilled in 2 parcels",
                "actual": "unfinished: reserving",
                "seconds": 0.0,
            },
        ],
        "audit": {"checked": 2, "violations": ["A: stock: odd"]},
    }
    screen = Screen()
    assert conclude(screen, [good], clean, path) == 0
    assert conclude(screen, [good, bad], clean, path) == 1
    assert conclude(screen, [good], dirty, path) == 1
