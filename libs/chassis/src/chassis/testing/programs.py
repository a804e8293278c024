"""Finding the programs that come as wheels."""

import shutil
import sysconfig
from pathlib import Path


def program(name: str) -> str:
    """Path of a program that a package put beside this interpreter, or that stands on PATH.

    Args:
        name: Such as ``temporal``.

    Raises:
        FileNotFoundError: If it is nowhere.
    """
    beside = Path(sysconfig.get_path("scripts")) / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"{name} is neither in {beside.parent} nor on PATH")
    return found
