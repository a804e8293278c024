"""What processes of this machine use, and how much of it is anybody's."""

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version

import psutil

GENERATOR = "waybill"
"""Name of our own process among those of the stack."""
FAMILY = "postgres"
"""What has a process for each connection. Looking for children takes milliseconds, so only it is asked for them."""


@dataclass(frozen=True)
class _Seen:
    """Who has a name.

    Attributes:
        process: The one that has it now, or had it last.
        before: CPU seconds of those that had it before.
        seconds: CPU seconds of this one, when it was last looked at.
    """

    process: psutil.Process
    before: float
    seconds: float


class Machine:
    """CPU and memory of some processes, and CPU of the machine."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def sample(self, pids: Mapping[str, int]) -> dict[str, float]:
        """Look once.

        Args:
            pids: Of the processes, by name. Ours is there besides.

        Returns:
            By name: ``cpu_seconds/NAME``, of all processes that had the name until now: it never begins anew, and stays
            when the last of them has ended; ``memory_bytes/NAME``, of those that are alive. CPU seconds of the machine
            since its start: those that were busy, ``busy_seconds``, and all of them, ``all_seconds``; not without
            processes.
        """
        figures: dict[str, float] = {}
        for name, pid in {**pids, GENERATOR: os.getpid()}.items():
            try:
                figures[f"memory_bytes/{name}"] = self._look(name, pid)
            except psutil.Error:
                # It has just ended. What it used after the last look nobody knows any more.
                continue
        figures |= {f"cpu_seconds/{name}": seen.before + seen.seconds for name, seen in self._seen.items()}
        # Where the deployment is elsewhere, how busy this machine is says nothing about it.
        return figures | (_cpu() if pids else {})

    def _look(self, name: str, pid: int) -> float:
        """Look at the process that has a name now. One that is new counts from 0, on top of those before it.

        Returns:
            Its memory.
        """
        seen = self._seen.get(name)
        same = seen is not None and seen.process.pid == pid and seen.process.is_running()
        process = seen.process if seen is not None and same else psutil.Process(pid)
        seconds, memory = use(process, family=name == FAMILY)
        before = 0.0 if seen is None else seen.before if same else seen.before + seen.seconds
        self._seen[name] = _Seen(process, before, seconds)
        return memory


def use(process: psutil.Process, *, family: bool) -> tuple[float, float]:
    """What a process uses.

    Args:
        process: Is alive.
        family: Whether those under it count as it. They may end meanwhile.

    Returns:
        CPU seconds since it began, and bytes of memory.

    Raises:
        psutil.Error: If it is gone.
    """
    with process.oneshot():
        times = process.cpu_times()
        seconds = times.user + times.system
        memory = float(process.memory_info().rss)
    if not family:
        return float(seconds), memory
    # Children that have ended, and were waited for, are in the parent's figures.
    seconds += getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
    for child in process.children(recursive=True):
        try:
            child_times, child_memory = child.cpu_times(), _own_memory(child)
        except psutil.Error:
            continue
        seconds += child_times.user + child_times.system
        memory += child_memory
    return float(seconds), memory


def _own_memory(process: psutil.Process) -> float:
    """Without what is shared with others: PostgreSQL's buffers would count once for each connection."""
    info = process.memory_info()
    return float(info.rss - getattr(info, "shared", 0))


def _cpu() -> dict[str, float]:
    times = psutil.cpu_times()
    # Time of guests is counted within user already.
    everything = sum(getattr(times, name) for name in times._fields if not name.startswith("guest"))
    idle = times.idle + getattr(times, "iowait", 0.0)
    return {"busy_seconds": float(everything - idle), "all_seconds": float(everything)}


def describe() -> dict[str, object]:
    """The machine, as far as it matters for comparing figures."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": psutil.cpu_count(logical=True),
        "memory_bytes": psutil.virtual_memory().total,
        "load_average_before": [round(each, 2) for each in psutil.getloadavg()],
    }


def versions() -> dict[str, str]:
    """Of what is measured, and of what measures."""
    return {
        "waybill": version("waybill-tools"),
        "temporalio": version("temporalio"),
        "python": platform.python_version(),
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123 - it is no file of ours
            names = (line.partition(":")[2].strip() for line in file if line.startswith("model name"))
            return next(names, platform.processor())
    except OSError:
        return platform.processor()
