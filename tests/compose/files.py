"""The files of compose, read as Compose reads them: overrides laid upon each other, variables filled in."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .images import Image, read_image

ROOT = Path(__file__).resolve().parents[2]
BASE = ROOT / "docker-compose.yml"
TEMPORAL_ON_POSTGRES = ROOT / "deploy" / "compose" / "temporal-postgres.yml"
USUAL = ROOT / ".env"
LIGHT = ROOT / "deploy" / "compose" / "light.env"

UNITS = {"k": 2**10, "m": 2**20, "g": 2**30}
REPLACED = {"command", "entrypoint", "test"}
"""Lists that an override replaces; others grow."""
_VARIABLE = re.compile(r"\$(?P<escaped>\$)|\$\{(?P<name>[A-Z_]+):-(?P<default>[^}]*)\}|(?P<bare>\$)")


@dataclass(frozen=True, slots=True)
class Override:
    """What stands behind ``!override``: it is not laid upon what was there, but takes its place."""

    value: Any


class _Loader(yaml.SafeLoader):
    pass


def _override(loader: yaml.SafeLoader, node: yaml.Node) -> Override:
    match node:
        case yaml.SequenceNode():
            return Override(loader.construct_sequence(node, deep=True))
        case yaml.MappingNode():
            return Override(loader.construct_mapping(node, deep=True))
        case _:
            return Override(loader.construct_scalar(node))  # type: ignore[arg-type]


_Loader.add_constructor("!override", _override)


@dataclass(frozen=True, slots=True)
class Container:
    """One of the services of a compose file; Waybill's own services are four of them."""

    name: str
    files: str
    """Which files it was read from."""
    said: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.name} ({self.files})"

    @property
    def profiles(self) -> set[str]:
        """Of which one must be active; none for what always runs."""
        return set(self.said.get("profiles", ()))

    @property
    def is_for_people(self) -> bool:
        """Runs by ``docker compose run`` only."""
        return self.profiles == {"tools"}

    @property
    def is_job(self) -> bool:
        """Ends by itself, and others wait for that."""
        return bool(self.said.get("restart") == "no") and not self.is_for_people

    @property
    def stays_up(self) -> bool:
        """Neither a job nor for people."""
        return not (self.is_job or self.is_for_people)

    @property
    def image(self) -> Image | None:
        """What its Dockerfile says, where we have one."""
        built = self.said.get("build")
        return read_image(ROOT / (built if isinstance(built, str) else built["context"])) if built else None

    @property
    def environment(self) -> dict[str, str]:
        """What it finds in its environment: the image's and compose's."""
        return {**(self.image.environment if self.image else {}), **self.said.get("environment", {})}

    @property
    def health(self) -> Mapping[str, Any] | None:
        """Its health check, of compose or else of its image."""
        stated: Mapping[str, Any] | None = self.said.get("healthcheck")
        return stated or (self.image.health if self.image else None)

    @property
    def networks(self) -> set[str]:
        """Those that it is in."""
        return set(self.said.get("networks", ()))

    @property
    def memory(self) -> int:
        """Its limit in bytes."""
        return size(self.said["deploy"]["resources"]["limits"]["memory"])

    @property
    def waits_for(self) -> dict[str, str]:
        """For whom it waits, and until what."""
        return {name: each["condition"] for name, each in self.said.get("depends_on", {}).items()}

    @property
    def published(self) -> list[tuple[str, int, int]]:
        """Published ports: address, the machine's port, its own."""
        parts = [each.rsplit(":", 2) for each in self.said.get("ports", ())]
        return [(address, int(outside), int(inside)) for address, outside, inside in parts]

    @property
    def mounts(self) -> list[Mapping[str, Any]]:
        """Its volumes and files, in the long form."""
        return [mount(each) for each in self.said.get("volumes", ())]


@dataclass(frozen=True, slots=True)
class Composition:
    """What one set of compose files comes to."""

    containers: Mapping[str, Container]
    networks: Mapping[str, Mapping[str, Any]]
    volumes: Mapping[str, Any]

    def __iter__(self) -> Iterator[Container]:
        return iter(self.containers.values())

    def __getitem__(self, name: str) -> Container:
        return self.containers[name]

    def running(self, *profiles: str) -> list[Container]:
        """Those that stay up while these profiles are active."""
        return [each for each in self if each.stays_up and (not each.profiles or each.profiles & set(profiles))]


def size(text: str) -> int:
    """Bytes, as in ``224m``."""
    return int(text[:-1]) * UNITS[text[-1]]


def mount(said: str | Mapping[str, Any]) -> Mapping[str, Any]:
    """A volume in its long form."""
    if not isinstance(said, str):
        return said
    source, target, *mode = said.split(":")
    kind = "bind" if source.startswith((".", "/")) else "volume"
    return {"type": kind, "source": source, "target": target, "read_only": mode == ["ro"]}


def variables(path: Path) -> dict[str, str]:
    """What an env file sets."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def asked(text: str) -> dict[str, str]:
    """The variables that a compose file asks its surroundings for, with their defaults."""
    return {match["name"]: match["default"] for match in _VARIABLE.finditer(text) if match["name"]}


def filled(said: Any, given: Mapping[str, str]) -> Any:
    """A part of a compose file with its variables filled in.

    Raises:
        ValueError: For a variable without a default: the files are used without any.
    """

    def value(match: re.Match[str]) -> str:
        if match["bare"]:
            raise ValueError(f"a variable without a default, or a $ that is not doubled: {match.string}")
        return "$" if match["escaped"] else given.get(match["name"], "") or match["default"]

    match said:
        case str():
            return _VARIABLE.sub(value, said)
        case dict():
            return {name: filled(each, given) for name, each in said.items()}
        case list():
            return [filled(each, given) for each in said]
        case _:
            return said


def laid_upon(over: Any, under: Any, name: str = "") -> Any:
    """What Compose makes of a value of one file and one of an earlier file."""
    match over, under:
        case Override(value=value), _:
            return value
        case dict(), dict():
            return {**under, **{key: laid_upon(each, under.get(key), key) for key, each in over.items()}}
        case list(), list() if name not in REPLACED:
            return [*under, *(each for each in over if each not in under)]
        case dict(), None:
            return {key: laid_upon(each, None, key) for key, each in over.items()}
        case _:
            return over


def read(*paths: Path, given: Path | None = USUAL) -> Composition:
    """The files laid upon each other.

    Args:
        paths: In the order in which Compose is told them.
        given: Where variables are set; None leaves them as they stand.
    """
    whole: Any = {}
    for path in paths:
        whole = laid_upon(yaml.load(path.read_text(), _Loader), whole)
    if given is not None:
        whole = filled(whole, variables(given))
    files = " and ".join(path.name for path in paths)
    services = {name: Container(name, files, said) for name, said in whole["services"].items()}
    return Composition(services, {name: said or {} for name, said in whole["networks"].items()}, whole["volumes"])


USUALLY = read(BASE)
ON_POSTGRES = read(BASE, TEMPORAL_ON_POSTGRES)
COMPOSITIONS = (USUALLY, ON_POSTGRES)
CONTAINERS = [container for composition in COMPOSITIONS for container in composition]


def read_yaml(path: Path) -> Any:
    """A file that holds one YAML document."""
    return yaml.safe_load(path.read_text())
