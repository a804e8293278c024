"""Commands of the services that run once and end, with the environment that the stack gives them."""

import asyncio
from typing import TYPE_CHECKING

from waybill.stack.plan import SERVICES
from waybill.stack.spec import StackError

if TYPE_CHECKING:
    from waybill.stack.stack import Stack

SECONDS = 60
"""How long one may take."""


async def apply_schedules(stack: "Stack") -> dict[str, dict[str, str]]:
    """Let each service create its schedules, or change them to what its code says.

    Args:
        stack: Running.

    Returns:
        By service: what became of each schedule, by its id.

    Raises:
        StackError: If one cannot.
    """
    applied = await asyncio.gather(*(_apply(stack, service) for service in SERVICES))
    return dict(zip(SERVICES, applied, strict=True))


async def _apply(stack: "Stack", service: str) -> dict[str, str]:
    planned = stack.plan.service(service, stack.ports[service], stack.env.get(service, {}))
    process = await asyncio.create_subprocess_exec(
        *planned.command,
        "schedules",
        env=planned.environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(SECONDS):
            said, wrong = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise StackError(f"{service} did not apply its schedules within {SECONDS} s") from None
    if process.returncode != 0:
        last = wrong.decode(errors="replace").strip().rpartition("\n")[2]
        raise StackError(f"{service} did not apply its schedules: {last or f'exit code {process.returncode}'}")
    pairs = (line.partition(" ") for line in said.decode().splitlines())
    return {schedule: outcome for schedule, _, outcome in pairs}
