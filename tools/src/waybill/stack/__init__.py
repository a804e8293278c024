"""All of Waybill as operating-system processes: start, stop, kill, pause, restart and scale them."""

from waybill.stack.plan import INFRASTRUCTURE, SERVICES
from waybill.stack.spec import StackError, State
from waybill.stack.stack import Stack

__all__ = ["INFRASTRUCTURE", "SERVICES", "Stack", "StackError", "State"]
