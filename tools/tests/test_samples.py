import json
from pathlib import Path

import pytest

from waybill.audit.rules import Violation
from waybill.audit.run import Report
from waybill.demo.day import Row
from waybill.demo.jobs import DEPOT, IMPORTED, LISTED, Job, order_file, supplier_list
from waybill.demo.run import conclude, write_report
from waybill.demo.samples import CATALOGUE, SAMPLES, STORY, Act, Sample, describe
from waybill.demo.screen import Screen

JOB = Job("stocktake", "counted", "counted", 1.5)
FAILED = Job("stocktake", "counted", "unfinished: it took too long", 120)


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
    write_report(path, [good, bad], [JOB], dirty)
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
        "jobs": [{"job": "stocktake", "expected": "counted", "actual": "counted", "seconds": 1.5}],
        "audit": {"checked": 2, "violations": ["A: stock: odd"]},
    }
    screen = Screen()
    assert conclude(screen, [good], [JOB], clean, path) == 0
    assert conclude(screen, [good, bad], [JOB], clean, path) == 1
    assert conclude(screen, [good], [JOB, FAILED], clean, path) == 1
    assert conclude(screen, [good], [JOB], dirty, path) == 1


def test_an_order_on_store_credit_shows_an_account_of_its_run_and_no_card() -> None:
    [sample] = [sample for sample in SAMPLES if sample.case == "store-credit"]
    body = sample.body("123456-20-store-credit")
    assert body["account_id"] == "123456-credit"
    assert "card_token" not in body


def test_the_files_that_are_imported_hold_good_rows_and_those_that_cannot_be_used() -> None:
    [header, *rows] = supplier_list().splitlines()
    assert header == "sku,weight,currency,price,warehouse,quantity"
    assert len(rows) == LISTED + 2
    assert {row.split(",")[4] for row in rows} == {DEPOT}
    orders = [json.loads(line) for line in order_file("123456").splitlines()]
    ids = [order["order_id"] for order in orders]
    assert (len(ids), len(set(ids))) == (IMPORTED + 2, IMPORTED + 1)
    assert all(order_id.startswith("123456-import-") for order_id in ids)
