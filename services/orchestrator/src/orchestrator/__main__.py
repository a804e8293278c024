"""``python -m orchestrator`` serves; ``python -m orchestrator migrate`` only brings the database up to date."""

from chassis.serving import run
from orchestrator.settings import Settings
from orchestrator.worker import compose

if __name__ == "__main__":
    run("orchestrator", compose, Settings, subject="order_id")
