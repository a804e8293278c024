"""``python -m payments``: the service."""

from chassis.serving import run
from payments.settings import Settings
from payments.worker import compose

if __name__ == "__main__":
    run("payments", compose, Settings, subject="order_id")
