"""PlanShipment: the cheapest carrier for each parcel."""

import asyncio
from datetime import timedelta

from temporalio import exceptions, workflow
from temporalio.common import RetryPolicy

from shipping import contract

with workflow.unsafe.imports_passed_through():
    from shipping.activities import QUOTE_ATTEMPTS, Activities, Quote, QuoteRequest, Terms

GRACE = timedelta(seconds=1)
"""What an attempt gets beyond its deadline, within which it says itself that the carrier was late. Only an attempt
whose worker died runs into the time-out."""

RETRY = RetryPolicy(initial_interval=timedelta(seconds=0.2), maximum_attempts=QUOTE_ATTEMPTS)


@workflow.defn(name="shipping.PlanShipment")
class PlanShipment(contract.PlanShipment):
    """Asks all carriers side by side, each for all parcels at once.

    There is no timer: a deadline belongs to an attempt that has begun, or a pool that is down would look like carriers
    that are.
    """

    @workflow.run
    async def run(self, request: contract.PlanRequest) -> contract.Plan:
        """Find a carrier for each parcel.

        Raises:
            ApplicationError: ``no_carrier``.
        """
        # Local: which carriers there are is one read of memory, and this way one event of history.
        terms = await workflow.execute_local_activity_method(
            Activities.terms, start_to_close_timeout=timedelta(seconds=5)
        )
        # gather keeps the order of what is asked, whoever answers first. A branch never raises for its carrier: it
        # would lose the answers of all others.
        answers = await asyncio.gather(*(self._ask(request, terms, carrier) for carrier in terms.carriers))
        return _aggregate(request, dict(zip(terms.carriers, answers, strict=True)))

    async def _ask(self, request: contract.PlanRequest, terms: Terms, carrier: str) -> list[Quote] | str:
        """What a carrier quotes, or why it does not: its failure is not the plan's."""
        seconds = terms.deadline(carrier)
        try:
            return await workflow.execute_activity_method(
                Activities.quote,
                QuoteRequest(carrier, request.currency, request.parcels, request.address, seconds),
                start_to_close_timeout=timedelta(seconds=seconds) + GRACE,
                retry_policy=RETRY,
            )
        except exceptions.ActivityError as error:
            if exceptions.is_cancelled_exception(error):
                raise
            if isinstance(error.cause, exceptions.TimeoutError):
                return f"{carrier} did not answer within {seconds:g} s"
            cause = error.cause
            return cause.message if isinstance(cause, exceptions.ApplicationError) else str(cause)


def _aggregate(request: contract.PlanRequest, answers: dict[str, list[Quote] | str]) -> contract.Plan:
    """Make the plan of what the carriers said: parcels in the order asked, failures in the order of the carriers.

    Raises:
        ApplicationError: ``no_carrier``.
    """
    offers: dict[int, list[contract.PlannedParcel]] = {parcel.number: [] for parcel in request.parcels}
    parcels = {parcel.number: parcel for parcel in request.parcels}
    failures: list[contract.CarrierFailure] = []
    for carrier, answer in answers.items():
        if isinstance(answer, str):
            failures.append(contract.CarrierFailure(carrier, answer))
            continue
        for quote in answer:
            if quote.price is None:
                reason = f"parcel {quote.parcel}: {quote.reason}"
                failures.append(contract.CarrierFailure(carrier, reason, parcel=quote.parcel))
            elif quote.parcel in offers:
                offers[quote.parcel].append(contract.PlannedParcel(parcels[quote.parcel], carrier, quote.price))
    planned = tuple(_cheapest(number, offered, failures) for number, offered in offers.items())
    return contract.Plan(request.order_id, request.currency, planned, tuple(failures))


def _cheapest(
    number: int, offers: list[contract.PlannedParcel], failures: list[contract.CarrierFailure]
) -> contract.PlannedParcel:
    """The cheapest offer for a parcel; among equals the carrier that stands first in the setting."""
    if not offers:
        said = "; ".join(f"{failure.carrier}: {failure.reason}" for failure in failures)
        raise exceptions.ApplicationError(
            f"no carrier takes parcel {number}: {said}", type=contract.Refusal.NO_CARRIER, non_retryable=True
        )
    return min(offers, key=lambda offer: offer.price)
