"""What the tools take services to do by default."""

from payments.settings import Settings
from waybill.planning.forecast import GATEWAY_RATE


def test_a_plan_knows_the_gateways_rate_that_payments_has_by_default() -> None:
    assert Settings.model_fields["gateway_rate"].default == GATEWAY_RATE
