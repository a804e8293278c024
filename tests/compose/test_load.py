"""A load from inside the containers' networks, as the page says: before ``test_up``, which takes all down."""

import json
from pathlib import Path

import pytest

from waybill.load.plain import TITLE

from .deployment import Deployment

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One that a container's user may write."""
    tmp_path.chmod(0o777)
    return tmp_path


async def test_a_load_leaves_its_report_in_the_folder_that_is_mounted(deployment: Deployment, folder: Path) -> None:
    run = ["run", "--rm", "--no-deps", "-T", "-v", f"{folder}:/data"]
    load = ["load", "--rate", "1", "--seconds", "10", "--warm-up", "2", "--to", "/data", "--name", "mine"]
    await deployment.compose("stop", "demo")
    try:
        done = await deployment.compose(*run, "tools", *load, check=False)
        assert done.code == 0, done.output + done.errors
        document = json.loads((folder / "mine" / "report.json").read_text())
        # What another user wrote, another user takes away.
        await deployment.compose(*run, "--entrypoint", "rm", "tools", "-r", "/data/mine")
    finally:
        await deployment.compose("start", "demo")
    [section] = document["sections"]
    assert section["title"] == TITLE
    assert section["results"]["orders_ended"] == section["results"]["orders_sent"] > 0
    assert section["results"]["anatomy"]  # Temporal's address is known in there
    assert "found no violations" in document["verdict"]


async def test_a_load_without_a_folder_is_refused_before_any_order(deployment: Deployment) -> None:
    done = await deployment.tools("load", "--seconds", "10", check=False)
    assert done.code == 2
    assert "the report cannot be written into build/load/" in done.output + done.errors
    assert "sent a second" not in done.output + done.errors
