"""How the tests are spread over processes."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep together what shares servers: each part of the repository but the lift-outs, which share nothing."""
    for item in items:
        part = item.path.relative_to(ROOT).parts[:2]
        if part != ("tests", "lift"):
            item.add_marker(pytest.mark.xdist_group("/".join(part)))
