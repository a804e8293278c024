"""Who calls whom for an order, as the spans of the processes themselves say."""

from .conftest import Run
from .watching import Edge, edges, links, unanswered

ORDERED: set[Edge] = {
    ("orchestrator", "inventory", "RunWorkflow:inventory.ReserveStock"),
    ("orchestrator", "payments", "RunWorkflow:payments.AuthorisePayment"),
    ("orchestrator", "shipping", "RunWorkflow:shipping.PlanShipment"),
    ("orchestrator", "shipping", "RunWorkflow:shipping.BookShipment"),
    ("payments", "sandbox", "POST /gateway/v1/authorisations"),
    ("shipping", "sandbox", "POST /carriers/{carrier}/v1/quotes"),
    ("shipping", "sandbox", "POST /carriers/{carrier}/v1/bookings"),
    ("orchestrator", "sandbox", "POST /mailbox/v1/messages"),
}
"""Of an order that comes as far as the booking, whatever becomes of it."""
SENT: set[Edge] = {
    ("orchestrator", "inventory", "RunWorkflow:inventory.CommitStock"),
    ("orchestrator", "payments", "RunWorkflow:payments.CapturePayment"),
    ("payments", "sandbox", "POST /gateway/v1/captures"),
}
DELIVERED: set[Edge] = {
    ("sandbox", "shipping", "POST /webhooks/carriers/{carrier}"),
    ("shipping", "orchestrator", "HandleSignal:delivery_progressed"),
    ("orchestrator", "sandbox", "POST /mailbox/v1/messages"),
}
"""In traces of their own."""
UNDONE: set[Edge] = {
    ("orchestrator", "shipping", "RunWorkflow:shipping.CancelShipment"),
    ("shipping", "sandbox", "POST /carriers/{carrier}/v1/cancellations"),
    ("orchestrator", "payments", "RunWorkflow:payments.ReversePayment"),
    ("payments", "sandbox", "POST /gateway/v1/voids"),
    ("orchestrator", "inventory", "RunWorkflow:inventory.ReleaseStock"),
}


async def test_an_order_is_one_trace_through_all_four_services_and_the_world_outside(run: Run) -> None:
    own, *others = run.watched.parts(run.fulfilled)
    assert [root.span.name for root in own.trace.roots] == ["POST /orders"]
    assert {span.service for span in own.trace.spans} == {
        "orchestrator",
        "inventory",
        "payments",
        "shipping",
        "sandbox",
    }
    assert edges([own]) == ORDERED | SENT
    assert edges(others) == DELIVERED


async def test_what_outlives_an_order_is_linked_to_it(run: Run) -> None:
    parts = run.watched.parts(run.fulfilled)
    assert links(parts) == {
        ("orchestrator", "orchestrator", "RunWorkflow:orchestrator.FollowDelivery"),
        ("orchestrator", "shipping", "RunWorkflow:shipping.TrackShipment"),
        *(("sandbox", "sandbox", f"callback budget {state}") for state in ("picked_up", "in_transit", "delivered")),
    }
    assert [len(part.trace.roots) for part in parts] == [1] * len(parts)


async def test_an_order_that_is_undone_calls_each_owner_again(run: Run) -> None:
    parts = run.watched.parts(run.refused)
    assert edges(parts) == ORDERED | UNDONE
    assert not links(parts)
    # In reverse, one after the other.
    undos = (
        "RunWorkflow:shipping.CancelShipment",
        "RunWorkflow:payments.ReversePayment",
        "RunWorkflow:inventory.ReleaseStock",
    )
    found = {span.name: span for span in parts[0].trace.spans if span.name in undos}
    assert [name for name, _ in sorted(found.items(), key=lambda item: item[1].begin)] == [*undos]
    [book] = [span for span in parts[0].trace.spans if span.name == "RunActivity:shipping.book"]
    assert book.failed
    assert "booking_refused" in book.message


async def test_an_approval_is_a_trace_of_its_own_about_the_same_order(run: Run) -> None:
    own, *others = run.watched.parts(run.approved)
    [approval] = [part.trace for part in others if part.relation == "about"]
    names = [span.name for span in approval.spans]
    assert names[0] == "POST /orders/{order_id}/approval"
    assert names.count("HandleUpdate:decide") == 1
    assert edges([own]) == ORDERED | SENT


async def test_every_call_between_processes_has_its_answer(run: Run) -> None:
    for order_id in run.watched.placed:
        assert not unanswered(run.watched.parts(order_id))
