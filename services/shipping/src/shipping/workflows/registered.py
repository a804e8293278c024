"""All of shipping's workflows, for the worker. No workflow imports this: the sandbox would import all for each."""

from shipping.workflows.book_shipment import BookShipment
from shipping.workflows.cancel_shipment import CancelShipment
from shipping.workflows.pick_wave import PickWave
from shipping.workflows.picker import Picker
from shipping.workflows.plan_shipment import PlanShipment
from shipping.workflows.track_shipment import TrackShipment

WORKFLOWS = [PlanShipment, BookShipment, CancelShipment, TrackShipment, PickWave, Picker]
