"""From what is planned to what is supervised."""

from collections.abc import Mapping
from dataclasses import fields

import aiohttp

from waybill.stack import ready
from waybill.stack.plan import NAMESPACE, Command, Plan
from waybill.stack.spec import Spec


def spec(plan: Plan, name: str, port: int, overrides: Mapping[str, str], session: aiohttp.ClientSession) -> Spec:
    """How to run and to ask one process.

    Args:
        plan: Of the stack.
        name: Of the process; ``shipping-2`` is a replica of shipping.
        port: That it listens on.
        overrides: Variables that differ from the usual ones.
        session: To ask with whether it is ready.
    """
    match name:
        case "postgres":
            command, probe = plan.postgres(), ready.postgres(port)
        case "temporal":
            command, probe = plan.temporal(), ready.temporal(plan.temporal_address, NAMESPACE)
        case "sandbox":
            command, probe = plan.sandbox(overrides), ready.http(session, plan.url(name))
        case _:
            command = plan.service(name.partition("-")[0], port, overrides, name)
            probe = ready.http(session, f"http://127.0.0.1:{port}")
    log = plan.directory / "logs" / f"{name}.log"
    return Spec(name=name, log=log, ready=probe, **{part.name: getattr(command, part.name) for part in fields(Command)})
