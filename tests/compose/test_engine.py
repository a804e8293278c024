"""Compose itself understands the files. It starts nothing, and needs no engine; ``make check`` runs this too."""

import json
import os
import shutil
import subprocess
from typing import Any

import pytest

from .files import BASE, LIGHT, ROOT, TEMPORAL_ON_POSTGRES, USUAL, Composition, read

PROFILES = ["", "observability", "grafana", "tools"]
ALONE = [BASE]
OVERRIDDEN = [BASE, TEMPORAL_ON_POSTGRES]


def has_compose() -> bool:
    docker = shutil.which("docker")
    if docker is None:
        return False
    done = subprocess.run([docker, "compose", "version"], capture_output=True, check=False)
    return done.returncode == 0


pytestmark = pytest.mark.skipif(
    not has_compose(),
    reason="no docker compose: install docker-compose-plugin (Docker's) or docker-compose (Debian's), 2.26 or newer",
)
every_combination = pytest.mark.parametrize(
    ("paths", "given"),
    [(paths, given) for paths in (ALONE, OVERRIDDEN) for given in (USUAL, LIGHT)],
    ids=["usually", "light", "on_postgres", "light_on_postgres"],
)


@every_combination
@pytest.mark.parametrize("profile", PROFILES, ids=lambda name: name or "no_profile")
def test_compose_takes_the_files(paths: list[Any], given: Any, profile: str) -> None:
    assert compose(paths, given, "--profile", profile or "none", "config", "--quiet") == ""


@every_combination
def test_compose_reads_in_them_what_these_tests_read(paths: list[Any], given: Any) -> None:
    text = compose(paths, given, "--profile", "*", "config", "--format", "json")
    said = json.loads(text.replace("$$", "$"))  # doubled, so that it can be read as a compose file
    composition = read(*paths, given=given)
    assert set(said["services"]) == set(composition.containers)
    for name, service in said["services"].items():
        assert told(service) == ours(composition, name)


def compose(paths: list[Any], given: Any, *arguments: str) -> str:
    """Run ``docker compose`` over some files, away from the variables of whoever runs the tests."""
    files = [word for path in paths for word in ("--file", str(path))]
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        ["docker", "compose", "--env-file", str(given), *files, *arguments],
        cwd=ROOT,
        env=kept,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def told(service: dict[str, Any]) -> dict[str, Any]:
    """What Compose makes of one service, as far as other tests ask for it."""
    return {
        "image": service["image"],
        "command": service.get("command") or [],
        "environment": service.get("environment", {}),
        "networks": set(service.get("networks", {})),
        "memory": int(service["deploy"]["resources"]["limits"]["memory"]),
        "published": [(each["host_ip"], int(each["published"]), each["target"]) for each in service.get("ports", [])],
        "waits_for": {name: each["condition"] for name, each in service.get("depends_on", {}).items()},
        "health": service.get("healthcheck", {}).get("test"),
        "mounts": {(each["target"], each.get("volume", {}).get("subpath")) for each in service.get("volumes", [])},
        "hardened": (service.get("read_only"), service.get("cap_drop"), service.get("security_opt")),
    }


def ours(composition: Composition, name: str) -> dict[str, Any]:
    """What these tests make of it."""
    container = composition[name]
    said = container.said
    return {
        "image": said["image"],
        "command": said.get("command", []),
        "environment": said.get("environment", {}),
        "networks": container.networks,
        "memory": container.memory,
        "published": container.published,
        "waits_for": container.waits_for,
        "health": said.get("healthcheck", {}).get("test"),
        "mounts": {(each["target"], each.get("volume", {}).get("subpath")) for each in container.mounts},
        "hardened": (said.get("read_only"), said.get("cap_drop"), said.get("security_opt")),
    }
