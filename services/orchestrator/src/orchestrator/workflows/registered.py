"""What the worker runs."""

from orchestrator.workflows.follow_delivery import FollowDelivery
from orchestrator.workflows.fulfil_order import FulfilOrder
from orchestrator.workflows.import_orders import ImportOrders

WORKFLOWS: list[type] = [FulfilOrder, FollowDelivery, ImportOrders]
