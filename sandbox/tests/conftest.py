import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from pydantic import SecretStr

from chassis.testing.serving import serve_app
from sandbox.app import World
from sandbox.settings import Settings
from sandbox.state import State
from sandbox.testing import Client

Start = Callable[..., Awaitable[Client]]


@pytest_asyncio.fixture
async def start(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Start]:
    """Starts sandboxes with the settings that a test names, on free ports; they end with the test."""
    async with AsyncExitStack() as stack:

        async def begin(chance: random.Random | None = None, **settings: Any) -> Client:
            # What never comes in time takes an hour here: a test that waits for it fails.
            defaults: dict[str, Any] = {
                "operator_token": SecretStr("operators!"),
                "hang_seconds": 3600,
                "slow_seconds": 3600,
            }
            told = Settings(**defaults | settings)
            state = State(told.database)
            stack.callback(state.close)
            url = await stack.enter_async_context(serve_app(World(told, state, chance).app))
            return Client(await stack.enter_async_context(aiohttp.ClientSession(url)))

        yield begin


@pytest_asyncio.fixture
async def sandbox(start: Start) -> Client:
    """A sandbox with nothing special about it."""
    return await start()
