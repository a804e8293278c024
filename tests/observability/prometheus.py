"""A real Prometheus over a running stack, with the committed configuration."""

import asyncio
import json
import math
import os
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from chassis.testing.ports import free_ports
from chassis.testing.waiting import eventually

from .files import PROMETHEUS, RULES, read_yaml, shortened

MISSING = "install Debian's prometheus, which brings promtool too"
SCRAPE_SECONDS = 2
START_SECONDS = 60


def required(program: str) -> str:
    """Path of a program; where it is absent, the test is skipped."""
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not here: {MISSING}")
    return path


def configuration(targets: Mapping[str, str], rules: Path) -> dict[str, Any]:
    """The committed configuration, with other addresses, scraped more often.

    Args:
        targets: Address of each job; there must be one for every job.
        rules: Folder of the rules.
    """
    document: dict[str, Any] = read_yaml(PROMETHEUS / "prometheus.yml")
    document["global"] |= {
        "scrape_interval": f"{SCRAPE_SECONDS}s",
        "scrape_timeout": f"{SCRAPE_SECONDS}s",
        "evaluation_interval": f"{SCRAPE_SECONDS}s",
    }
    document["rule_files"] = [f"{rules}/*.yml"]
    for job in document["scrape_configs"]:
        kept = {key: value for key, value in job.items() if not key.endswith("_sd_configs")}
        job.clear()
        job.update(kept, static_configs=[{"targets": [targets[kept["job_name"]]]}])
    return document


@dataclass
class Prometheus:
    """Asks one that runs."""

    url: str
    session: aiohttp.ClientSession

    async def ask(self, path: str, **parameters: str) -> Any:
        """What its API answers.

        Raises:
            ValueError: If it refuses: with its reason.
        """
        async with self.session.post(f"{self.url}/api/v1/{path}", data=parameters) as got:
            answer = json.loads(await got.text())
        if answer["status"] != "success":
            raise ValueError(f"{answer.get('error')}: {parameters}")
        return answer["data"]

    async def vector(self, expression: str) -> list[dict[str, Any]]:
        """The series that an expression gives now, those left out whose value is no number."""
        data = await self.ask("query", query=expression)
        assert data["resultType"] == "vector", f"{expression} gives a {data['resultType']}"
        return [each for each in data["result"] if not math.isnan(float(each["value"][1]))]

    async def firing(self) -> set[tuple[str, ...]]:
        """What fires: the alert's name with the job or the queue that it names."""
        return {_named(each["metric"]) for each in await self.vector('ALERTS{alertstate="firing"}')}

    async def fired(self, seconds: int) -> set[tuple[str, ...]]:
        """What has fired within the last seconds, whether it still does or not."""
        series = await self.vector(f'max_over_time(ALERTS{{alertstate="firing"}}[{seconds}s])')
        return {_named(each["metric"]) for each in series}

    async def scraped(self, job: str) -> None:
        """Wait until a job was reached."""

        async def up() -> bool:
            return any(each["value"][1] == "1" for each in await self.vector(f'up{{job="{job}"}}'))

        await eventually(up, timeout=START_SECONDS)


def _named(labels: Mapping[str, str]) -> tuple[str, ...]:
    return (labels["alertname"], *(labels[name] for name in ("job", "task_queue", "task_type") if name in labels))


@asynccontextmanager
async def prometheus(folder: Path, targets: Mapping[str, str], *, factor: int = 1) -> AsyncIterator[Prometheus]:
    """Run one.

    Args:
        folder: For its data; empty.
        targets: Address of each job.
        factor: By which the times of the rules are divided.
    """
    program = required("prometheus")
    [port] = free_ports(1)
    rules = folder / "rules"
    rules.mkdir()
    for path in RULES.glob("*.yml"):
        (rules / path.name).write_text(shortened(path.read_text(), factor) if factor > 1 else path.read_text())
    config = folder / "prometheus.yml"
    config.write_text(yaml.safe_dump(configuration(targets, rules)))
    with (folder / "prometheus.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            program,
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=warn",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "GOMAXPROCS": "1"},
        )
        try:
            async with aiohttp.ClientSession() as session:
                running = Prometheus(f"http://127.0.0.1:{port}", session)

                async def ready() -> bool:
                    assert process.returncode is None, (folder / "prometheus.log").read_text()
                    try:
                        async with session.get(f"{running.url}/-/ready") as got:
                            return got.status == 200
                    except aiohttp.ClientError as error:
                        raise AssertionError(f"Prometheus does not answer: {error}") from error

                await eventually(ready, timeout=START_SECONDS)
                yield running
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()
