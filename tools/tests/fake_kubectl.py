"""A ``kubectl`` for tests: a program on PATH that writes down what it is asked, and answers what a test says."""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROGRAM = """\
#!{python}
import json, pathlib, sys
folder = pathlib.Path({folder!r})
given = "" if sys.stdin.isatty() else sys.stdin.read()
asked = [pathlib.Path(sys.argv[0]).name, *sys.argv[1:]]
with open(folder / "asked.jsonl", "a") as file:
    file.write(json.dumps({{"command": asked, "given": given}}) + "\\n")
said = " ".join(asked)
for answer in json.loads((folder / "answers.json").read_text()):
    if answer["to"] in said:
        sys.stdout.write(answer["output"])
        sys.stderr.write(answer["errors"])
        sys.exit(answer["code"])
"""


@dataclass
class FakePrograms:
    """Programs in a folder that is first on PATH.

    Attributes:
        folder: Where they are.
        answers: To commands that contain a text; the first that fits counts. Without one there is none, and code 0.
    """

    folder: Path
    answers: list[dict[str, Any]] = field(default_factory=list)

    def make(self, *names: str) -> None:
        """Put programs there."""
        for name in names:
            path = self.folder / name
            path.write_text(PROGRAM.format(python=sys.executable, folder=str(self.folder)))
            path.chmod(0o755)
        self._write()

    def answer(self, to: str, output: Any = "", *, code: int = 0, errors: str = "") -> None:
        """Say what is answered from now on; later answers come before earlier ones."""
        text = output if isinstance(output, str) else json.dumps(output)
        self.answers.insert(0, {"to": to, "output": text, "errors": errors, "code": code})
        self._write()

    @property
    def asked(self) -> list[list[str]]:
        """All commands until now."""
        return [line["command"] for line in self._lines()]

    def given(self, to: str) -> list[str]:
        """What the commands that contain a text got on their standard input."""
        return [line["given"] for line in self._lines() if to in " ".join(line["command"])]

    def _lines(self) -> list[dict[str, Any]]:
        path = self.folder / "asked.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def _write(self) -> None:
        (self.folder / "answers.json").write_text(json.dumps(self.answers))


def items(*names: str, **more: Any) -> dict[str, Any]:
    """A list of objects, as ``kubectl get --output json`` prints it."""
    return {"items": [{"metadata": {"name": name, **more}} for name in names]}
