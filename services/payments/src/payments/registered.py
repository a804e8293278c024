"""All activities and all routes of payments, for its worker."""

from collections.abc import Callable
from typing import Any

from aiohttp import web
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from payments import api, settlement_api
from payments.account_activities import AccountActivities
from payments.account_api import AccountApi
from payments.account_store import AccountStore
from payments.activities import Activities
from payments.credit_payments import CreditPayments
from payments.gateway import Gateway
from payments.metrics import PaymentsMetrics
from payments.settlement_activities import SettlementActivities
from payments.settlement_store import SettlementStore
from payments.store import Store
from payments.store_credit import StoreCredit


def activities(
    engine: AsyncEngine, gateway: Gateway, credit: StoreCredit, metrics: PaymentsMetrics
) -> list[Callable[..., Any]]:
    """All activities.

    Args:
        engine: Of payments' own database.
        gateway: The card gateway.
        credit: The store-credit accounts.
        metrics: Of payments.
    """
    store = Store(engine, metrics)
    return [
        *Activities(store, gateway, CreditPayments(store, credit), metrics).all(),
        *AccountActivities(AccountStore(engine, metrics)).all(),
        *SettlementActivities(SettlementStore(engine, metrics), metrics).all(),
    ]


def routes(
    engine: AsyncEngine, credit: StoreCredit, metrics: PaymentsMetrics, operator_token: SecretStr
) -> list[web.RouteDef]:
    """All routes.

    Args:
        engine: Of payments' own database.
        credit: The store-credit accounts.
        metrics: Of payments.
        operator_token: What callers must show.
    """
    return [
        *api.routes(Store(engine, metrics), operator_token),
        *AccountApi(AccountStore(engine, metrics), credit).routes(operator_token),
        *settlement_api.routes(SettlementStore(engine, metrics), operator_token),
    ]
