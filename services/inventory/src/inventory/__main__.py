"""``python -m inventory`` serves, ``python -m inventory migrate`` brings the database up to date."""

from chassis.serving import run
from inventory.settings import Settings
from inventory.worker import compose

if __name__ == "__main__":
    run("inventory", compose, Settings, subject="order_id")
