import pytest

from payments.gateway import Authorised, Captured, Declined, GatewayError, OutcomeUnknown, Refunded, Refused, Voided

from .conftest import World, new_order
from .fake_gateway import Trouble


async def _authorise(world: World, key: str, token: str = "tok_ok", amount: int = 900) -> object:
    return await world.gateway.authorise(key, amount=amount, currency="EUR", card_token=token, reference="order")


async def test_an_authorisation_comes_back_with_its_amount(world: World) -> None:
    assert await _authorise(world, "k") == Authorised("authorisation-of-k", 900, "EUR")


async def test_a_key_with_a_slash_and_a_percent_sign_is_looked_up_as_it_is(world: World) -> None:
    key = "payment:a/b%2Fc d?e#ü:authorise"
    await _authorise(world, key)
    found = await world.gateway.operation(key)
    assert found is not None
    assert found.status == "authorised"


async def test_a_declined_card_says_why(world: World) -> None:
    assert await _authorise(world, "k", "tok_insufficient") == Declined("insufficient_funds")


async def test_a_token_that_the_gateway_does_not_take_is_declined(world: World) -> None:
    assert await _authorise(world, "k", "4111111111111111") == Declined("card_number")


async def test_a_key_used_for_another_amount_is_refused(world: World) -> None:
    await _authorise(world, "k")
    assert await _authorise(world, "k", amount=901) is Refused.KEY_REUSED


async def test_a_voided_key_is_burned(world: World) -> None:
    assert await world.gateway.void("k") == Voided(0)
    assert await _authorise(world, "k") is Refused.KEY_BURNED


async def test_what_is_captured_is_refunded_not_voided(world: World) -> None:
    await _authorise(world, "k")
    assert await world.gateway.capture("c", authorisation_key="k") == Captured("capture-of-c")
    assert await world.gateway.void("k") is Refused.ALREADY_CAPTURED
    assert await world.gateway.refund("r", capture_key="c") == Refunded("refund-of-r", 900, "EUR")


async def test_a_capture_of_nothing_is_refused(world: World) -> None:
    assert await world.gateway.capture("c", authorisation_key=new_order()) is Refused.NOT_AUTHORISED


async def test_a_refund_of_nothing_is_an_error(world: World) -> None:
    with pytest.raises(GatewayError, match="404 unknown_capture"):
        await world.gateway.refund("r", capture_key=new_order())


async def test_an_unknown_key_is_nothing(world: World) -> None:
    assert await world.gateway.operation(new_order()) is None


@pytest.mark.parametrize("trouble", list(Trouble))
async def test_trouble_leaves_the_outcome_unknown(world: World, trouble: Trouble) -> None:
    world.outside.trouble["authorisations"] = [trouble]
    with pytest.raises(OutcomeUnknown):
        await _authorise(world, "k")


async def test_a_wrong_address_is_not_taken_for_an_unknown_key(world: World) -> None:
    world.gateway._base += "/elsewhere"
    with pytest.raises(GatewayError):
        await world.gateway.operation("k")


async def test_a_gateway_that_is_away_leaves_the_outcome_unknown(world: World) -> None:
    world.gateway._base = "http://127.0.0.1:1/gateway"
    with pytest.raises(OutcomeUnknown):
        await _authorise(world, "k")
