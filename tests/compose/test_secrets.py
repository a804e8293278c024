"""Who gets which secrets, and who may read them."""

import re
from pathlib import Path

import pytest

from waybill.stack.plan import SERVICES

from . import secrets
from .files import COMPOSITIONS, CONTAINERS, ROOT, USUALLY, Composition, Container
from .secrets import Made

WHOLE = {
    "secrets": "makes them",
    "databases": "gives each role the password that is in the volume",
}
"""Who gets the whole volume, and why."""
PARTS = {"demo": "tools", "audit": "tools", "temporal-schema": "temporal"}
"""Who gets a part that is not called like the container."""
USERS = {"postgres": "999", "temporal-postgres": "999", "temporal": "1000", "grafana": "472"}
"""Users of images that others made: whose containers read a part. All other parts are for our images' user."""
READ = re.compile(r"/run/secrets/([a-z_]+)")
SCRIPTS = ROOT / "deploy" / "compose"


@pytest.fixture(name="made", scope="module")
def made_fixture(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return secrets.run(tmp_path_factory.mktemp("secrets"))


@pytest.mark.parametrize("container", CONTAINERS, ids=str)
def test_a_container_can_read_its_own_part_of_the_secrets_and_no_other(container: Container) -> None:
    for each in container.mounts:
        if each["source"] != "secrets" or container.name in WHOLE:
            continue
        assert each["read_only"] is True
        assert each["target"] == "/run/secrets"
        assert each["volume"] == {"subpath": PARTS.get(container.name, container.name)}


def test_who_sees_all_secrets_is_a_job_that_ends() -> None:
    sees = {
        each.name
        for each in CONTAINERS
        for volume in each.mounts
        if volume["source"] == "secrets" and "volume" not in volume
    }
    assert sees == set(WHOLE)
    assert all(USUALLY[name].is_job for name in WHOLE)
    [volume] = [each for each in USUALLY["databases"].mounts if each["source"] == "secrets"]
    assert volume["read_only"] is True


@pytest.mark.parametrize("composition", COMPOSITIONS, ids=["usually", "on_postgres"])
def test_every_part_that_is_mounted_is_made(composition: Composition, made: Made) -> None:
    mounted = {
        volume["volume"]["subpath"]
        for each in composition
        for volume in each.mounts
        if "subpath" in volume.get("volume", {})
    }
    assert mounted <= made.parts()


def test_every_part_that_is_made_is_mounted(made: Made) -> None:
    mounted = {
        volume["volume"]["subpath"]
        for each in CONTAINERS
        for volume in each.mounts
        if "subpath" in volume.get("volume", {})
    }
    assert made.parts() == {*mounted, "values"}


@pytest.mark.parametrize("container", CONTAINERS, ids=str)
def test_every_file_that_is_read_is_in_the_part_that_is_mounted(container: Container, made: Made) -> None:
    scripts = [ROOT / each["source"] for each in container.mounts if each["source"].endswith(".sh")]
    said = [
        *container.environment.values(),
        *container.said.get("command", []),
        *(path.read_text() for path in scripts),
    ]
    read = {name for text in said for name in READ.findall(text)}
    parts = [each["volume"]["subpath"] for each in container.mounts if "subpath" in each.get("volume", {})]
    there = {name for part in parts for name in made.files(part)}
    assert read <= there


def test_every_part_belongs_to_the_user_who_reads_it_and_is_for_nobody_else(made: Made) -> None:
    image = USUALLY["orchestrator"].image
    assert image is not None
    ours = image.user.partition(":")[0]
    for part in made.parts() - {"values"}:
        user = USERS.get(part, ours)
        assert made.owners[f"secrets/{part}"] == f"{user}:{user}"
        assert made.owners[f"secrets/{part}/.draft"] == f"{user}:{user}", "a file is given away before it gets its name"
        assert made.modes[f"secrets/{part}"] == "0500"
        assert made.modes[f"secrets/{part}/.draft"] == "0400"
    assert set(USERS) < made.parts()
    assert (made.secrets / "values").stat().st_mode & 0o077 == 0


def test_volumes_of_those_who_are_not_root_belong_to_them(made: Made) -> None:
    assert made.owners["volumes/sandbox"] == made.owners["secrets/sandbox"]
    assert made.owners["volumes/temporal"] == made.owners["secrets/temporal"]
    mounted = {each["source"]: each["target"] for each in USUALLY["secrets"].mounts if each["type"] == "volume"}
    assert mounted == {"secrets": "/secrets", "temporal": "/volumes/temporal", "sandbox": "/volumes/sandbox"}


def test_no_two_secrets_are_alike_and_each_is_long(made: Made) -> None:
    values = made.files("values")
    assert len(values) == len(SERVICES) + 5
    assert len(set(values.values())) == len(values)
    assert all(re.fullmatch(r"[0-9a-f]{48}", value) for value in values.values())


def test_what_is_made_is_told_by_its_name_and_not_by_its_value(made: Made) -> None:
    values = made.files("values")
    assert set(re.findall(r"^secrets: made (\w+)$", made.said, re.MULTILINE)) == set(values)
    assert [name for name, value in values.items() if value in made.said] == []


def test_a_second_start_leaves_every_secret_as_it_is(tmp_path: Path) -> None:
    first = secrets.run(tmp_path)
    before = {part: first.files(part) for part in first.parts()}
    second = secrets.run(tmp_path)
    assert {part: second.files(part) for part in second.parts()} == before
    assert second.said == ""


def test_a_secret_that_was_deleted_is_made_anew_and_reaches_all_who_read_it(tmp_path: Path) -> None:
    first = secrets.run(tmp_path)
    old = first.files("values")
    (tmp_path / "secrets" / "values" / "webhook_secret").unlink()
    second = secrets.run(tmp_path)
    new = second.files("values")
    assert {name for name in new if new[name] != old[name]} == {"webhook_secret"}
    assert second.files("shipping")["shipping_webhook_secret"] == new["webhook_secret"]
    assert second.files("sandbox")["sandbox_webhook_secret"] == new["webhook_secret"]


def test_a_service_sees_no_password_but_its_own(made: Made) -> None:
    values = made.files("values")
    for service in SERVICES:
        seen = " ".join(made.files(service).values())
        others = {f"{name}_password" for name in (*SERVICES, "postgres", "temporal", "grafana")} - {
            f"{service}_password"
        }
        assert values[f"{service}_password"] in seen
        assert [name for name in others if values[name] in seen] == []


@pytest.mark.parametrize("script", ["secrets.sh", "databases.sh"])
def test_scripts_do_the_same_for_every_service(script: str) -> None:
    loops = re.findall(r"^for (?:name|NAME) in (.*); do$", (SCRIPTS / script).read_text(), re.MULTILINE)
    assert loops == [" ".join(SERVICES)]


def test_the_database_of_each_service_is_where_its_url_says(made: Made) -> None:
    for service in SERVICES:
        password = made.files("values")[f"{service}_password"]
        url = made.files(service)[f"{service}_database_url"]
        assert url == f"postgresql://{service}:{password}@postgres:5432/{service}"
        assert USUALLY["postgres"].networks & USUALLY[service].networks
    databases = (SCRIPTS / "databases.sh").read_text()
    assert "/secrets/values/${NAME}_password" in databases
    assert USUALLY["databases"].networks <= USUALLY["postgres"].networks
