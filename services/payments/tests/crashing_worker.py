"""payments' worker as a program that can be killed: ``python crashing_worker.py SETTINGS_JSON``.

With ``crash_on`` it dies, as by SIGKILL, right after the account's table has been written for the first time: between
the booking and the answer.
"""

import asyncio
import json
import os
import signal
import sys
from typing import Any

from pydantic import SecretStr
from temporalio.client import Client

from chassis.connection import Connection
from chassis.converter import DATA_CONVERTER
from payments.account_store import AccountStore
from payments.settings import Settings
from payments.worker import compose


def _dying(method: Any) -> Any:
    async def call(*args: Any, **kwargs: Any) -> Any:
        await method(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)
        await asyncio.Event().wait()

    return call


async def main() -> None:
    told = json.loads(sys.argv[1])
    if name := told.get("crash_on"):
        setattr(AccountStore, name, _dying(getattr(AccountStore, name)))
    client = await Client.connect(told["temporal"], data_converter=DATA_CONVERTER)
    connection = Connection("payments")
    connection.use(client)
    service = compose(
        Settings(
            database_url=told["database"], operator_token=SecretStr("operator-token"), gateway_url=told["gateway"]
        ),
        connection,
    )
    await service.worker(client).run()


if __name__ == "__main__":
    asyncio.run(main())
