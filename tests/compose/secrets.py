"""What deploy/compose/secrets.sh makes, found by running it with folders in place of its volumes."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from .files import ROOT

SCRIPT = ROOT / "deploy" / "compose" / "secrets.sh"
_NOTE = '#!/bin/sh\necho "$(basename "$0") $*" >>"$NOTES"\n'
"""Only root may give files away: in place of ``chown`` and ``chmod`` stands who notes what they were told."""


@dataclass(frozen=True, slots=True)
class Made:
    """The volumes after a run.

    Attributes:
        folder: In which they stand.
        owners: The user of each path that was given to one.
        modes: The mode of each path that was given one.
        said: What the script said.
    """

    folder: Path
    owners: dict[str, str]
    modes: dict[str, str]
    said: str

    @property
    def secrets(self) -> Path:
        """The volume of secrets."""
        return self.folder / "secrets"

    def files(self, part: str) -> dict[str, str]:
        """What stands in one part of it."""
        return {path.name: path.read_text() for path in sorted((self.secrets / part).iterdir())}

    def parts(self) -> set[str]:
        """Its parts."""
        return {path.name for path in self.secrets.iterdir()}


def run(folder: Path) -> Made:
    """Run the script, for the first time or again.

    Args:
        folder: In which the volumes stand.
    """
    for volume in ("secrets", "volumes/temporal", "volumes/sandbox", "bin"):
        (folder / volume).mkdir(parents=True, exist_ok=True)
    for name in ("chown", "chmod"):
        (folder / "bin" / name).write_text(_NOTE)
        (folder / "bin" / name).chmod(0o755)
    notes = folder / "notes"
    notes.write_text("")
    text = SCRIPT.read_text().replace("/secrets/", f"{folder}/secrets/").replace("/volumes/", f"{folder}/volumes/")
    environment = {"PATH": f"{folder / 'bin'}:/usr/bin:/bin", "NOTES": str(notes)}
    done = subprocess.run(["sh", "-c", text], env=environment, capture_output=True, text=True, check=True)
    owners: dict[str, str] = {}
    modes: dict[str, str] = {}
    for line in notes.read_text().splitlines():
        name, value, path = line.split(" ", 2)
        where = path.removeprefix(f"{folder}/")
        (owners if name == "chown" else modes)[where] = value
    return Made(folder, owners, modes, done.stderr)
