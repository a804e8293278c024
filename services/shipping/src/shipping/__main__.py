"""``python -m shipping`` serves; ``python -m shipping migrate`` migrates the database."""

from chassis.serving import run
from shipping.settings import Settings
from shipping.worker import compose

if __name__ == "__main__":
    run("shipping", compose, Settings, subject="order_id")
