"""Whoever removes the other services can still build, test and ship the fourth: here its own tests run, alone."""

import subprocess
import sys
from pathlib import Path

import pytest

LIFT = Path(__file__).with_name("lift.py")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("service", ["orchestrator", "inventory", "payments", "shipping"])
def test_a_service_stands_alone_and_its_tests_pass_outside_the_repository(service: str) -> None:
    done = subprocess.run(
        [sys.executable, str(LIFT), service, "-q"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    sys.stdout.write(done.stdout)
    assert done.returncode == 0, f"{service} does not stand alone:\n{done.stdout[-8000:]}"
    assert f"{service}: alone with our waybill_chassis-" in done.stdout
