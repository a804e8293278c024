"""What the worker runs."""

from orchestrator.workflows.follow_delivery import FollowDelivery
from orchestrator.workflows.fulfil_order import FulfilOrder
from orchestrator.workflows.import_orders import ImportOrders
from orchestrator.workflows.report_sales import ReportSales

WORKFLOWS: list[type] = [FulfilOrder, FollowDelivery, ImportOrders, ReportSales]
