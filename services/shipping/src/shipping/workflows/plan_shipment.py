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
        answers = await asyncio.gather(*(self._ask(request, terms, carrier) for carrier in terms.carriers))
        failures = tuple(
            contract.CarrierFailure(carrier, answer)
            for carrier, answer in zip(terms.carriers, answers, strict=True)
            if isinstance(answer, str)
        )
        prices = {
            carrier: {quote.parcel: quote for quote in answer}
            for carrier, answer in zip(terms.carriers, answers, strict=True)
            if not isinstance(answer, str)
        }
        failures += tuple(
            contract.CarrierFailure(carrier, f"parcel {number}: {quote.reason}")
            for carrier, quotes in prices.items()
            for number, quote in quotes.items()
            if quote.price is None
        )
        planned = tuple(_cheapest(parcel, prices, failures) for parcel in request.parcels)
        return contract.Plan(request.order_id, request.currency, planned, failures)

    async def _ask(self, request: contract.PlanRequest, terms: Terms, carrier: str) -> list[Quote] | str:
        """What a carrier quotes, or why it does not: its failure is not the plan's."""
        try:
            return await workflow.execute_activity_method(
                Activities.quote,
                QuoteRequest(carrier, request.currency, request.parcels, request.address, terms.seconds),
                start_to_close_timeout=timedelta(seconds=terms.seconds) + GRACE,
                retry_policy=RETRY,
            )
        except exceptions.ActivityError as error:
            if exceptions.is_cancelled_exception(error):
                raise
            if isinstance(error.cause, exceptions.TimeoutError):
                return f"{carrier} did not answer within {terms.seconds:g} s"
            cause = error.cause
            return cause.message if isinstance(cause, exceptions.ApplicationError) else str(cause)


def _cheapest(
    parcel: contract.Parcel,
    prices: dict[str, dict[int, Quote]],
    failures: tuple[contract.CarrierFailure, ...],
) -> contract.PlannedParcel:
    """The cheapest offer for a parcel; among equals the carrier that stands first in the setting."""
    offers = [
        contract.PlannedParcel(parcel, carrier, quotes[parcel.number].price or 0)
        for carrier, quotes in prices.items()
        if parcel.number in quotes and quotes[parcel.number].price is not None
    ]
    if not offers:
        said = "; ".join(f"{failure.carrier}: {failure.reason}" for failure in failures)
        raise exceptions.ApplicationError(
            f"no carrier takes parcel {parcel.number}: {said}", type=contract.Refusal.NO_CARRIER, non_retryable=True
        )
    return min(offers, key=lambda offer: offer.price)
