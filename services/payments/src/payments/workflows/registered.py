"""All workflows of payments, for its worker."""

from payments.workflows.account import Account
from payments.workflows.authorise_payment import AuthorisePayment
from payments.workflows.capture_payment import CapturePayment
from payments.workflows.reverse_payment import ReversePayment
from payments.workflows.settle_payments import SettlePayments

WORKFLOWS: list[type] = [Account, AuthorisePayment, CapturePayment, ReversePayment, SettlePayments]
