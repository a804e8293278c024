"""The deployment, for those who asked for it: it takes minutes, and an engine."""

import os
import shutil
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from .deployment import Deployment

ASKED = "WAYBILL_COMPOSE_TEST"


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def deployment() -> AsyncIterator[Deployment]:
    """All of Waybill, up and healthy."""
    if not os.environ.get(ASKED):
        pytest.skip("runs by `make compose-test`, which needs Docker Engine 26 and Compose 2.26 or newer")
    if shutil.which("docker") is None:
        pytest.fail("docker is not installed: https://docs.docker.com/engine/install/")
    made = Deployment()
    try:
        await made.compose("build", "--quiet")
        await made.up()
        yield made
    finally:
        await made.down()
