"""Take one service out of the repository: its directory and two wheels are all that goes along; its tests run there.

python tests/lift/lift.py inventory [arguments of pytest]
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("orchestrator", "inventory", "payments", "shipping")
OURS = """
import importlib.util, json, pathlib, sys
from importlib.metadata import distribution
service, others, wheel = sys.argv[1], sys.argv[2].split(","), sys.argv[3]
chassis = distribution("waybill-chassis")
url = json.loads(chassis.read_text("direct_url.json"))["url"]
assert url.endswith("/" + wheel), f"the chassis came from {url}, not from our {wheel}"
place = pathlib.Path(importlib.util.find_spec("chassis").origin)
assert pathlib.Path(sys.prefix) in place.parents, f"the chassis is imported from {place}"
strangers = [name for name in others if importlib.util.find_spec(name)]
assert not strangers, f"{strangers} can be imported beside {service}"
print(f"{service}: alone with our {wheel}")
"""


def lift(service: str, arguments: list[str]) -> int:
    """Copy, install, test.

    Args:
        service: One of ``SERVICES``.
        arguments: Further ones for pytest.

    Returns:
        pytest's exit code.

    Raises:
        subprocess.CalledProcessError: If it cannot be built or installed, or a stranger's chassis was.
    """
    uv = _uv()
    with tempfile.TemporaryDirectory(prefix=f"waybill-lift-{service}-") as scratch:
        place = Path(scratch)
        place.chmod(0o755)
        wheels = place / "wheels"
        for package in ("waybill-chassis", f"waybill-{service}"):
            _run([uv, "build", "--quiet", "--wheel", "--package", package, "--out-dir", str(wheels)], ROOT)
        [chassis] = wheels.glob("waybill_chassis-*.whl")
        [wheel] = wheels.glob(f"waybill_{service}-*.whl")
        # Only its tests go along: its code comes out of the wheel, and nothing of the repository is in reach.
        shutil.copytree(
            ROOT / "services" / service,
            place / service,
            ignore=shutil.ignore_patterns("src", "__pycache__", ".*", "*.egg-info"),
        )
        constraints = place / "constraints.txt"
        with constraints.open("w") as output:
            export = [uv, "export", "--quiet", "--locked", "--all-packages", "--all-extras", "--no-emit-workspace"]
            subprocess.run([*export, "--no-hashes"], check=True, cwd=ROOT, stdout=output)
        _run([uv, "venv", "--quiet", "--python", sys.executable, "venv"], place)
        python = str(place / "venv" / "bin" / "python")
        install = [uv, "pip", "install", "--quiet", "--python", python, "--constraint", str(constraints)]
        _run([*install, f"{chassis}[testing]", str(wheel)], place)
        others = ",".join([*(name for name in SERVICES if name != service), "sandbox", "waybill"])
        _run([python, "-c", OURS, service, others, chassis.name], place)
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "PYTHON"))}
        clean["PATH"] = f"{place / 'venv' / 'bin'}{os.pathsep}{clean.get('PATH', '')}"
        tests = subprocess.run([python, "-m", "pytest", *arguments], cwd=place / service, env=clean, check=False)
        return tests.returncode


def _run(command: list[str], folder: Path) -> None:
    subprocess.run(command, check=True, cwd=folder)


def _uv() -> str:
    own = ROOT / ".uv" / "bin" / "uv"
    found = str(own) if own.exists() else shutil.which("uv")
    if found is None:
        raise SystemExit("uv is missing: make setup")
    return found


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in SERVICES:
        sys.exit(f"usage: lift.py {{{','.join(SERVICES)}}} [arguments of pytest]")
    sys.exit(lift(sys.argv[1], sys.argv[2:]))
