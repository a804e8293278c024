"""What is wrong with a machine is said before anything is started, in a line that names what to do."""

import importlib.util
import json
import shutil
import socket
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from types import ModuleType

import pytest

from .deployment import ROOT

SCRIPT = ROOT / "deploy" / "compose" / "preflight.py"

FAKE = """#!{python}
import json, pathlib, sys
answers = json.loads(pathlib.Path({answers!r}).read_text())
asked = " ".join(sys.argv[1:])
for beginning, (code, output, errors) in answers.items():
    if asked.startswith(beginning):
        sys.stdout.write(output)
        sys.stderr.write(errors)
        raise SystemExit(code)
raise SystemExit("nobody expected: " + asked)
"""


def port_of(published: str, *, written: bool) -> list[object]:
    if written:
        return ["127.0.0.1:${WAYBILL_PORT:-8001}:8080"]
    return [{"host_ip": "127.0.0.1", "target": 8080, "published": published}]


class Docker:
    """A program called docker that answers as it is told."""

    def __init__(self, folder: Path, port: int) -> None:
        self._answers = folder / "answers.json"
        self.bin = folder / "bin"
        self.bin.mkdir()
        program = self.bin / "docker"
        program.write_text(FAKE.format(python=sys.executable, answers=str(self._answers)))
        program.chmod(0o755)
        self.answers: dict[str, tuple[int, str, str]] = {
            "version": (0, json.dumps({"Server": {"Version": "28.3.1"}}), ""),
            "compose version": (0, "v2.39.1\n", ""),
            "info": (0, str(folder), ""),
            "compose config --no-interpolate": (
                0,
                json.dumps({"services": {"edge": {"ports": port_of(str(port), written=True)}, "demo": {}}}),
                "",
            ),
            "compose config": (
                0,
                json.dumps({"services": {"edge": {"ports": port_of(str(port), written=False)}, "demo": {}}}),
                "",
            ),
            "compose ps": (0, "", ""),
        }

    def check(self) -> tuple[int, list[str]]:
        self._answers.write_text(json.dumps(self.answers))
        done = subprocess.run(
            [sys.executable, str(SCRIPT)], env={"PATH": str(self.bin)}, capture_output=True, text=True, check=False
        )
        assert done.stdout == ""
        return done.returncode, done.stderr.splitlines()


@pytest.fixture
def taken() -> "socket.socket":
    """A port that somebody listens on."""
    held = socket.socket()
    held.bind(("127.0.0.1", 0))
    held.listen()
    return held


@pytest.fixture
def docker(tmp_path: Path, taken: socket.socket) -> Docker:
    free = taken.getsockname()[1]
    taken.close()
    return Docker(tmp_path, free)


def test_a_machine_that_can_is_told_nothing(docker: Docker) -> None:
    assert docker.check() == (0, [])


def test_no_docker_is_said_once(docker: Docker) -> None:
    (docker.bin / "docker").unlink()
    code, [said] = docker.check()
    assert code == 1
    assert said.startswith("docker is not installed")


def test_an_engine_that_does_not_answer_is_said_with_its_own_words(docker: Docker) -> None:
    docker.answers["version"] = (1, "", "Cannot connect to the Docker daemon at unix:///x.\n")
    code, [said] = docker.check()
    assert code == 1
    assert said == (
        "the docker engine does not answer (Cannot connect to the Docker daemon at unix:///x.): start it, or set"
        " DOCKER_HOST"
    )


def test_an_engine_and_a_compose_that_are_too_old_are_both_named(docker: Docker) -> None:
    docker.answers["version"] = (0, json.dumps({"Server": {"Version": "24.0.7"}}), "")
    docker.answers["compose version"] = (0, "2.20.2\n", "")
    code, said = docker.check()
    assert code == 1
    assert [line.partition(":")[0] for line in said] == ["the docker engine is 24.0.7", "docker compose is 2.20.2"]


def test_docker_without_compose_is_named(docker: Docker) -> None:
    docker.answers["compose version"] = (1, "", "docker: 'compose' is not a docker command.")
    assert docker.check()[1] == ["docker has no compose plugin: https://docs.docker.com/compose/install/"]


def test_a_port_that_is_taken_is_named_with_its_variable(tmp_path: Path, taken: socket.socket) -> None:
    port = taken.getsockname()[1]
    docker = Docker(tmp_path, port)
    assert docker.check() == (
        1,
        [f"port {port}, of edge, is taken (Address already in use): WAYBILL_PORT=… make up"],
    )
    # By ourselves: the deployment is up already.
    docker.answers["compose ps"] = (0, json.dumps({"Publishers": [{"PublishedPort": port}]}) + "\n", "")
    assert docker.check() == (0, [])
    taken.close()


def test_files_that_compose_does_not_take_are_said_in_its_words(docker: Docker) -> None:
    docker.answers["compose config"] = (15, "", "services.edge.ports must be a list\n")
    docker.answers["compose config --no-interpolate"] = docker.answers["compose config"]
    assert docker.check() == (1, ["services.edge.ports must be a list"])


def loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("preflight", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_full_disk_is_named_with_what_is_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    preflight = loaded()
    usage = namedtuple("usage", "total used free")  # noqa: PYI024 - the standard library's own form
    monkeypatch.setattr(preflight, "ask", lambda *_: f"{tmp_path}\n")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**12, 10**12, 2**30))
    assert list(preflight.disk()) == [
        f"{tmp_path} has 1.0 GiB left, and about 4 are needed: docker system prune, or move it"
    ]


@pytest.mark.parametrize(("text", "found"), [("v2.26.1-4", (2, 26)), ("28.3.1", (28, 3)), ("26.1.5+dfsg1\n", (26, 1))])
def test_versions_are_read(text: str, found: tuple[int, int]) -> None:
    assert loaded().version(text) == found
