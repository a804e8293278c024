"""Worker versioning: which version of the code a workflow runs on, where somebody manages versions.

``TEMPORAL_DEPLOYMENT_NAME`` and ``TEMPORAL_WORKER_BUILD_ID``, as Temporal's worker controller sets them, make a worker
one of a version. Without them, as on a laptop and in compose, nothing here has an effect: a server refuses a versioning
behaviour from a worker that has no version.
"""

import os
from collections.abc import Awaitable, Callable

from temporalio import activity
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.worker import WorkerDeploymentConfig

from chassis.gate import LOOK
from chassis.settings import WrongSettings

DEPLOYMENT = "TEMPORAL_DEPLOYMENT_NAME"
BUILD = "TEMPORAL_WORKER_BUILD_ID"
Check = Callable[[], Awaitable[None]]


def deployment() -> WorkerDeploymentConfig | None:
    """The version that this process is of, if it is of any.

    What a workflow does not say otherwise, it stays on the version that it began with.

    Raises:
        WrongSettings: If one of the variables is set, and the other is not.
    """
    name, build = os.environ.get(DEPLOYMENT), os.environ.get(BUILD)
    if not name and not build:
        return None
    if not name or not build:
        raise WrongSettings(
            f"{BUILD if name else DEPLOYMENT}: is required where {DEPLOYMENT if name else BUILD} is set"
        )
    return WorkerDeploymentConfig(
        version=WorkerDeploymentVersion(deployment_name=name, build_id=build),
        use_worker_versioning=True,
        default_versioning_behavior=VersioningBehavior.PINNED,
    )


def lasting() -> VersioningBehavior:
    """For ``versioning_behavior`` of a workflow that lives for weeks, and would keep old versions alive: it moves on.

    Its changes replay old histories, by ``workflow.patched`` where they must. Asked whenever the workflow's module is
    imported: a server refuses a behaviour where there are no versions.
    """
    versioned = bool(os.environ.get(DEPLOYMENT))
    return VersioningBehavior.AUTO_UPGRADE if versioned else VersioningBehavior.UNSPECIFIED


class Looking:
    """The gate's activity."""

    def __init__(self, check: Check) -> None:
        """Prepare.

        Args:
            check: Raises if the service cannot work.
        """
        self._check = check

    @activity.defn(name=LOOK)
    async def look(self) -> None:
        """Ask."""
        await self._check()
