"""Dockerfiles, read as far as the tests need."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FLAG = re.compile(r"--(?P<name>[a-z-]+)=(?P<value>\S+)\s+")


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction, its lines joined and without comments."""

    name: str
    flags: Mapping[str, str]
    rest: str


@dataclass(frozen=True, slots=True)
class Image:
    """What a Dockerfile says of the image that it makes: its last stage."""

    path: Path
    instructions: list[Instruction]

    @property
    def stage(self) -> list[Instruction]:
        """The last one."""
        begins = max(number for number, each in enumerate(self.instructions) if each.name == "FROM")
        return self.instructions[begins:]

    def only(self, name: str) -> Instruction:
        """The one instruction of this name in the last stage."""
        [found] = [each for each in self.stage if each.name == name]
        return found

    @property
    def user(self) -> str:
        """Who runs in it."""
        return self.only("USER").rest

    @property
    def environment(self) -> dict[str, str]:
        """The variables that it sets."""
        return self._pairs("ENV")

    @property
    def labels(self) -> dict[str, str]:
        """Its labels."""
        return self._pairs("LABEL")

    @property
    def health(self) -> dict[str, Any] | None:
        """Its health check, as compose would say it."""
        found = [each for each in self.stage if each.name == "HEALTHCHECK"]
        if not found:
            return None
        [check] = found
        test = ["CMD", *json.loads(check.rest.removeprefix("CMD "))]
        return {"test": test, **{name.replace("-", "_"): value for name, value in check.flags.items()}}

    @property
    def copied(self) -> set[tuple[str, str]]:
        """What all stages take from directories: name of the context (none for the image's own), and path."""
        return {
            (context, source)
            for context, sources in self._copies
            if context not in self._stages and not _is_image(context)
            for source in sources
        }

    @property
    def bases(self) -> set[str]:
        """The images that it is made from, or takes something from."""
        froms = {each.rest.partition(" AS ")[0] for each in self.instructions if each.name == "FROM"}
        return froms - self._stages | {context for context, _ in self._copies if _is_image(context)}

    @property
    def _stages(self) -> set[str]:
        return {each.rest.partition(" AS ")[2] for each in self.instructions if each.name == "FROM"} - {""}

    @property
    def _copies(self) -> list[tuple[str, list[str]]]:
        return [
            (each.flags.get("from", ""), each.rest.split()[:-1]) for each in self.instructions if each.name == "COPY"
        ]

    def _pairs(self, name: str) -> dict[str, str]:
        words = [word for each in self.stage if each.name == name for word in shlex.split(each.rest)]
        return dict(word.split("=", 1) for word in words)


def _is_image(context: str) -> bool:
    return "/" in context or ":" in context


def read_image(folder: Path) -> Image:
    """The Dockerfile of a folder."""
    path = folder / "Dockerfile"
    return Image(path, list(_instructions(path.read_text())))


def _instructions(text: str) -> Iterator[Instruction]:
    bare = re.sub(r"^[ \t]*#.*\n", "", text, flags=re.MULTILINE)
    for line in re.sub(r"\\\n\s*", "", bare).splitlines():
        if line.strip():
            name, _, rest = line.partition(" ")
            flags = {}
            while match := _FLAG.match(rest):
                flags[match["name"]] = match["value"]
                rest = rest[match.end() :]
            yield Instruction(name, flags, rest.strip())
