"""Worker versioning: which version of the code a workflow runs on, where somebody manages versions.

``TEMPORAL_DEPLOYMENT_NAME`` and ``TEMPORAL_WORKER_BUILD_ID``, as Temporal's worker controller sets them, make a worker
one of a version. Without them, as on a laptop and in compose, nothing here has an effect: a server refuses a versioning
behaviour from a worker that has no version.
"""

import hashlib
import os
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path

from temporalio import activity, service
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


def build(packages: Iterable[str]) -> str:
    """What code this process runs, for where nobody named its version: it stands in every history that it writes.

    The SDK's own answer loads the code of every module that is imported once more, which is a tenth of a service's
    start, and changes with what happens to be imported. This is told from the sources of ours alone.

    Args:
        packages: Names of those that make the service.
    """
    digest = hashlib.sha256(service.__version__.encode())
    for package in sorted({*packages, __package__}):
        for path in _sources(package):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:32]


def _sources(package: str) -> Iterator[Path]:
    module = sys.modules[package]
    if module.__file__ is None:
        return
    path = Path(module.__file__)
    yield from sorted(path.parent.rglob("*.py")) if path.name == "__init__.py" else [path]


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
