"""What a service's program does once and ends: migrating its database, applying its schedules."""

import logging
import sys
from typing import TYPE_CHECKING

from temporalio.service import RPCError

from chassis.schedules import apply

if TYPE_CHECKING:
    from chassis.service import Service

logger = logging.getLogger(__name__)


async def migrate(service: "Service") -> int:
    """Bring the service's database up to date.

    Args:
        service: Not running.

    Returns:
        The exit code.
    """
    await service.database.migrate(service.migrations)
    await service.database.close()
    logger.info("the schema is up to date")
    return 0


async def schedules(service: "Service") -> int:
    """Create or change the service's schedules; one line a schedule on standard output: its id, and what became of it.

    Args:
        service: Not running.

    Returns:
        The exit code: 1 where Temporal does not take them.
    """
    try:
        client = await service.connection.attempt()
        applied = await apply(client, service.schedules, service.name)
    except (RPCError, RuntimeError) as error:  # RuntimeError is a client's that cannot connect
        sys.stderr.write(f"Temporal does not take the schedules: {(str(error).splitlines() or [''])[0]}\n")
        return 1
    for schedule_id, outcome in applied.items():
        sys.stdout.write(f"{schedule_id} {outcome}\n")
    await service.database.close()
    return 0
