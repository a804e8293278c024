"""How the tests are spread over processes."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep together what shares servers: each part of the repository but the lift-outs, which share nothing."""
    for item in items:
        path = item.path.relative_to(ROOT)
        # The observability's long ones have a stack each.
        part = path.parts if path.parts[:2] == ("tests", "observability") else path.parts[:2]
        if part != ("tests", "lift"):
            item.add_marker(pytest.mark.xdist_group("/".join(part)))
