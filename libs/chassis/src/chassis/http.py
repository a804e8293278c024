"""The client for outgoing HTTP."""

import aiohttp

REACHABLE_SECONDS = 2
"""How long a provider may take to answer anything at all."""


async def reachable(url: str) -> None:
    """Ask a provider for a sign of life; any answer is one.

    Args:
        url: Its base URL.

    Raises:
        aiohttp.ClientError: If it gives none.
        TimeoutError: If it takes too long.
    """
    timeout = aiohttp.ClientTimeout(total=REACHABLE_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url):
        return


class HttpClient:
    """One aiohttp session for the life of a process, made on first use because it belongs to the running loop."""

    def __init__(self, *, timeout_seconds: float) -> None:
        """Prepare.

        Args:
            timeout_seconds: For each request as a whole. Shorter than the activity that makes it.
        """
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._session: aiohttp.ClientSession | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """The session, open."""
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        return self._session

    async def close(self) -> None:
        """Close the session, if there is one."""
        if self._session is not None:
            await self._session.close()
