"""``python -m tiny``."""

from chassis.serving import run

from .worker import Settings, compose

if __name__ == "__main__":
    run("tiny", compose, Settings, subject="thing")
