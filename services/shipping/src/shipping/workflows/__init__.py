"""Shipping's workflows, one module each."""

from shipping.workflows.book_shipment import BookShipment
from shipping.workflows.cancel_shipment import CancelShipment
from shipping.workflows.plan_shipment import PlanShipment
from shipping.workflows.track_shipment import TrackShipment

WORKFLOWS = [PlanShipment, BookShipment, CancelShipment, TrackShipment]
