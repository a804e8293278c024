"""Chooses benchmarks, runs them, shows and keeps what came out."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

import psutil
from temporalio.client import WorkflowFailureError, WorkflowQueryFailedError

from waybill.bench import (
    fanout_contests,
    import_contests,
    interactive_contests,
    scale_contests,
    start_contests,
    telemetry_contests,
    tuning_contests,
    twin_contests,
)
from waybill.bench.files import PairsFile, ReportFile
from waybill.bench.harness import MIN_PAIRS, BenchError, Group, Result, compete, nowhere, table
from waybill.demo.screen import Screen

DEFAULT_REPORT = Path("build/bench.json")
GROUPS: tuple[Group, ...] = (
    import_contests.GROUP,
    interactive_contests.GROUP,
    fanout_contests.GROUP,
    telemetry_contests.GROUP,
    start_contests.GROUP,
    scale_contests.GROUP,
    twin_contests.GROUP,
    *tuning_contests.GROUPS,
)


def chosen(only: Sequence[str], groups: Sequence[Group] = GROUPS) -> list[str]:
    """Names of the benchmarks to run.

    Args:
        only: Names or patterns such as ``fanout_*``; none: all.
        groups: Of all there are.

    Raises:
        BenchError: If a pattern matches none.
    """
    names = [name for group in groups for name in group.names]
    for pattern in only:
        if not any(fnmatch(name, pattern) for name in names):
            raise BenchError(f"there is no benchmark {pattern!r}; there are {', '.join(names)}")
    return [name for name in names if not only or any(fnmatch(name, pattern) for pattern in only)]


async def bench(
    screen: Screen,
    only: Sequence[str] = (),
    pairs: int = MIN_PAIRS,
    report: Path = DEFAULT_REPORT,
    groups: Sequence[Group] = GROUPS,
    *,
    csv: Path | None = None,
) -> list[Result]:
    """Run benchmarks and write their results.

    Args:
        screen: To show them on.
        only: See ``chosen``.
        pairs: How often each side is measured.
        report: Where the results are written; those of other benchmarks that are there stay.
        groups: Of all there are.
        csv: Where every pair's figures are written too; those of other benchmarks that are there stay.

    Raises:
        BenchError: If there is no such benchmark, ``report`` or ``csv`` is another file, or something cannot be
            measured.
    """
    names = set(chosen(only, groups))
    kept = ReportFile(report)
    note = nowhere if csv is None else PairsFile(csv, chosen([], groups)).note
    results: list[Result] = []
    for group in groups:
        wanted = [name for name in group.names if name in names]
        if not wanted:
            continue
        screen.say(f"Starting what {', '.join(wanted)} needs.")
        with _in_one_line():
            async with group.setting() as contests:
                for contest in contests:
                    if contest.name in names:
                        results.append(await compete(contest, pairs, screen.say, note))
                        kept.keep(results)
    screen.print(table(results))
    screen.say(f"Report: {report}")
    return results


@contextmanager
def _in_one_line() -> Iterator[None]:
    """Tell as a BenchError what ends a measurement, wherever that is: in its figures, or in what is done before."""
    try:
        yield
    except WorkflowFailureError as error:
        # Its own text says only that there is a cause; the last of the causes says what happened.
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        raise BenchError(f"a workflow failed: {cause}") from error
    except WorkflowQueryFailedError as error:
        raise BenchError(f"a workflow does not tell its state: {error}") from error
    except psutil.Error as error:
        raise BenchError(f"a process to measure is none: {error}") from error
