"""Workflows that live until they are told to end: one that stays on its version, one that moves."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from chassis import versioning


@workflow.defn(name="tiny.Short")
class Short:
    """Stays on the version that it began with."""

    def __init__(self) -> None:
        """Nobody has said anything yet."""
        self._over = False

    @workflow.run
    async def run(self) -> None:
        """Wait."""
        await workflow.wait_condition(lambda: self._over)

    @workflow.signal
    def end(self) -> None:
        """End."""
        self._over = True


@workflow.defn(name="tiny.Long", versioning_behavior=versioning.lasting())
class Long:
    """Moves to each new version."""

    def __init__(self) -> None:
        """Nobody has said anything yet."""
        self._over = False

    @workflow.run
    async def run(self) -> None:
        """Wait."""
        await workflow.wait_condition(lambda: self._over)

    @workflow.signal
    def end(self) -> None:
        """End."""
        self._over = True

    @workflow.signal
    def hear(self) -> None:
        """Gives it a task."""
