"""``python -m chassis.healthcheck URL…``: exits with 0 if every URL answers 200, else with 1 and a line that says why.

For containers, whose images have no other program that can ask. It imports the standard library only, so that a
question every few seconds costs little.
"""

import sys
from http.client import HTTPException
from urllib.request import urlopen

SECONDS = 5.0
"""Time-out of one question: as long as ``/readyz`` waits for Temporal."""
WANTED = 200


def ask(url: str) -> str | None:
    """Ask once.

    Args:
        url: To ask, ``http://host:port/path``.

    Returns:
        What is wrong; None if it answers 200.
    """
    try:
        with urlopen(url, timeout=SECONDS) as response:  # noqa: S310 - the URL stands in our own files
            status = response.status
    except (OSError, ValueError, HTTPException) as error:
        return f"{url}: {error}"
    return None if status == WANTED else f"{url}: answers {status}"


def main(urls: list[str]) -> int:
    """Ask all of them.

    Returns:
        The exit code.
    """
    wrong = [said for said in map(ask, urls) if said is not None]
    if not urls:
        wrong = ["usage: python -m chassis.healthcheck URL…"]
    for said in wrong:
        sys.stderr.write(said + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
