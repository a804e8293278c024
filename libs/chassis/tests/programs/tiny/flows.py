"""Workflows of the tiny service."""

import time
from dataclasses import dataclass
from datetime import timedelta

from temporalio import workflow


@dataclass(frozen=True)
class Errand:
    """Where the activity writes what it does, and how often it is to be done."""

    path: str
    times: int = 1


@workflow.defn(name="tiny.Run")
class Run:
    """Runs an errand."""

    @workflow.run
    async def run(self, errand: Errand) -> int:
        workflow.logger.info("asked to run")
        await workflow.execute_activity("tiny.write", errand, start_to_close_timeout=timedelta(seconds=30))
        return errand.times


@workflow.defn(name="tiny.Insist")
class Insist:
    """Makes a short write that fails, and is tried again in the same workflow task, for as long as it takes."""

    @workflow.run
    async def run(self) -> None:
        await workflow.execute_local_activity("tiny.fail", start_to_close_timeout=timedelta(seconds=1))


@workflow.defn(name="tiny.Listen")
class Listen:
    """Ends when it has heard a word."""

    def __init__(self) -> None:
        self._heard: str | None = None

    @workflow.run
    async def run(self) -> str:
        await workflow.wait_condition(lambda: self._heard is not None)
        return self._heard or ""

    @workflow.signal
    async def hear(self, word: str) -> None:
        self._heard = word

    @workflow.update
    async def weigh(self, grams: int) -> int:
        return grams

    @workflow.signal
    def hush(self, word: str = "hush") -> None:
        self._heard = word

    @workflow.update
    async def check(self, grams: int) -> int:
        return grams

    @check.validator
    def _check(self, grams: int) -> None:
        if grams < 0:
            raise ValueError("lighter than nothing")


@workflow.defn(name="tiny.Peek")
class Peek:
    """Looks at a clock, which a workflow must not."""

    @workflow.run
    async def run(self) -> float:
        return time.time()
