"""``make manifests``: render everything that is listed, check it, and say what was done."""

import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from .outside import checkov, schemas
from .rendering import K8S, Rendered, RenderingError, combinations, render_all, renderer
from .rules import RULES, findings


def say(line: str) -> None:
    """Tell the reader."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def told(rendered: Rendered) -> str:
    """What was rendered, in a line."""
    components = combinations(K8S)[rendered.name]
    how = "overlay" if components is None else f"base + {', '.join(components) or 'nothing'}"
    kinds = Counter(manifest["kind"] for manifest in rendered.manifests)
    counted = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))
    return f"rendered {rendered.name} ({how}): {len(rendered.manifests)} objects: {counted}"


def main() -> int:
    """Render and check.

    Returns:
        The exit code.
    """
    began = time.monotonic()
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "combined").mkdir()
        say(f"renderer: {' '.join(renderer() or ['none'])}")
        try:
            rendered = list(render_all(K8S, folder / "combined"))
        except RenderingError as error:
            say(str(error))
            return 1
        for one in rendered:
            say(told(one))
            wrong += map(str, findings(one))
        say(f"rules: {len(RULES)} of our own on each")
        for check in (schemas, checkov):
            lines, summary = check(rendered, folder)
            wrong += lines
            say(summary)
    for line in wrong:
        say(f"WRONG {line}")
    say(f"{len(wrong) or 'nothing'} wrong, after {time.monotonic() - began:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
