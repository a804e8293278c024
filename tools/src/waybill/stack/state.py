"""The note that a running stack leaves in its directory, so that other commands find it."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from waybill.stack.spec import StackError

DEFAULT_DIRECTORY = Path("build/stack")
NAME = "state.json"


@dataclass(frozen=True)
class StackState:
    """Where a running stack is.

    Attributes:
        owner: Process id of the program that runs the stack.
        pids: Of its processes, by name.
        ports: By name.
        urls: By name; Temporal's is host and port.
        operator_token: Opens what only operators may do.
        control_url: Of the stack's own endpoint.
        control_token: Opens it.
    """

    owner: int
    pids: dict[str, int]
    ports: dict[str, int]
    urls: dict[str, str]
    operator_token: str
    control_url: str
    control_token: str

    def write(self, directory: Path) -> None:
        """Replace the note. Only its owner may read it: it holds tokens."""
        draft = directory / f"{NAME}.draft"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(asdict(self), file, indent=2)
        draft.replace(directory / NAME)


def read(directory: Path) -> StackState:
    """The note in a directory.

    Raises:
        StackError: If there is none, or it cannot be read.
    """
    try:
        return StackState(**json.loads((directory / NAME).read_text()))
    except FileNotFoundError:
        raise StackError(no_stack(directory)) from None
    except (OSError, ValueError, TypeError) as error:
        raise StackError(f"{directory / NAME} cannot be read: {error}") from None


def remove(directory: Path) -> None:
    """Take the note away: nothing runs any more."""
    (directory / NAME).unlink(missing_ok=True)


def no_stack(directory: Path) -> str:
    """What to tell somebody who asks for a stack that does not run."""
    return f"no stack is running in {directory} (start one with: waybill demo)"
