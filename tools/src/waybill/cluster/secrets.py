"""The Secrets of a try-out cluster: random, and made once."""

import json
import secrets
from collections.abc import Callable
from typing import Any

from waybill.cluster.kubectl import ClusterError, Kubectl
from waybill.stack.plan import SERVICES

Draw = Callable[[], str]


def draw() -> str:
    """A new password or token, of letters that need no quoting anywhere."""
    return secrets.token_hex(24)


def values(draw: Draw = draw) -> dict[str, dict[str, str]]:
    """All Secrets by name, and in each the values by key. Keys are names of files that services read.

    Args:
        draw: Makes one value.
    """
    operator, webhook = draw(), draw()
    passwords = {name: draw() for name in SERVICES}
    made = {
        name: {
            f"{name}_database_url": f"postgresql://{name}:{passwords[name]}@postgres:5432/{name}",
            f"{name}_operator_token": operator,
        }
        for name in SERVICES
    }
    made["shipping"]["shipping_webhook_secret"] = webhook
    made["sandbox"] = {"sandbox_webhook_secret": webhook, "sandbox_operator_token": operator}
    made["tools"] = {"operator_token": operator}
    made["postgres"] = {
        "postgres_password": draw(),
        **{f"{name}_password": password for name, password in passwords.items()},
    }
    return made


def manifest(made: dict[str, dict[str, str]]) -> dict[str, Any]:
    """The Secrets as one list of objects."""
    items = [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": "Opaque", "stringData": data}
        for name, data in made.items()
    ]
    return {"apiVersion": "v1", "kind": "List", "items": items}


async def ensure(kubectl: Kubectl) -> list[str]:
    """Make the Secrets, where there are none.

    Returns:
        Names of those that were made.

    Raises:
        ClusterError: If some are there and others are not: they only fit together.
    """
    made = values()
    found = set(await kubectl.names("secrets")) & set(made)
    if found == set(made):
        return []
    if found:
        raise ClusterError(
            f"the Secrets {', '.join(sorted(set(made) - found))} are missing, and what is in the databases fits only "
            "to those that were made with the others: make k8s-down, then make k8s-up"
        )
    await kubectl.do("create", "--filename", "-", given=json.dumps(manifest(made)))
    return sorted(made)
