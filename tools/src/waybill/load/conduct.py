"""Runs experiments on a target, audits, writes the report; ends well also when somebody stops it."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from waybill.audit.books import BooksError
from waybill.audit.reading import KEEPERS
from waybill.demo.run import INTERRUPTED
from waybill.load import machine, servers
from waybill.load.cut import CANNOT_GO_ON, CutShortError, why
from waybill.load.progress import Progress
from waybill.load.report.files import write, write_orders, write_samples
from waybill.load.report.model import Document, Section
from waybill.load.session import Session, opened
from waybill.load.targets import Hasty, Target
from waybill.load.verdict import judge

DEFAULT_FOLDER = Path("build/load")
AUDIT_SECONDS = 120.0
"""How long the audit waits for what follows an order's end: its message."""
GOOD, BAD, CANNOT = 0, 1, 2
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Experiment = Callable[[Session], Awaitable[Section]]
Conclusion = Callable[[Sequence[Section]], Section | None]


@dataclass(frozen=True)
class Trial:
    """What is to be done.

    Attributes:
        name: Of the run; also of its folder.
        title: Of the report.
        folder: Where the report goes.
        target: Brings up, or finds, what is loaded.
        experiments: One after the other.
        settings: All options, for the report.
        conclusions: Drawn from what the experiments found; nothing where one of them is missing.
    """

    name: str
    title: str
    folder: Path
    target: AbstractAsyncContextManager[Target]
    experiments: Sequence[Experiment]
    settings: Mapping[str, object]
    conclusions: Sequence[Conclusion] = ()


async def conduct(trial: Trial, progress: Progress) -> tuple[int, Document | None]:
    """Run all of it.

    Returns:
        The exit code, and the report: 0 if every order is accounted for, 1 if one was lost, refused or ended otherwise
        than it should, or the audit found something, 2 if an experiment could not be done, 130 if somebody stopped it.
        There is no report if it was stopped at once.

    Raises:
        LoadError, StackError, PortTaken, OSError: If there is nothing to load.
    """
    before = machine.describe()
    stop = asyncio.Event()
    run = f"load{time.strftime('%m%dT%H%M%S')}"
    ending = _Ending(trial.target, stop, progress)
    done: tuple[int, Document] | None = None
    with ending, progress:
        try:
            async with trial.target as target, opened(target, run, stop, progress.tell) as session:
                session.watcher.changed = progress.watch(session)
                sections, failure = await _experiments(trial, session)
                ending.check()
                document, code = await _conclude(trial, session, sections, failure, before)
                _write(trial.folder, session, document)
                # Afterwards: whatever is wrong with a conclusion, what it is drawn from took minutes to measure.
                document = _drawn(trial, document)
                done = code, document
        except (asyncio.CancelledError, *CANNOT_GO_ON):
            # Where all is killed, whoever is putting things back as they were fails of it in a way of his own.
            if not ending.at_once:
                raise
    return done or (INTERRUPTED, None)


async def _experiments(trial: Trial, session: Session) -> tuple[list[Section], str | None]:
    """Run one after the other; one that cannot be done ends it, and what was measured is kept."""
    sections: list[Section] = []
    for experiment in trial.experiments:
        if session.stop.is_set():
            break
        try:
            sections.append(await experiment(session))
        except CutShortError as cut:
            return [*sections, cut.section], cut.reason
        except CANNOT_GO_ON as error:
            return sections, why(error)
    return sections, None


async def _conclude(
    trial: Trial, session: Session, sections: Sequence[Section], failure: str | None, before: Mapping[str, object]
) -> tuple[Document, int]:
    if not session.stop.is_set():
        await session.ledger.look_again()
    # Before the audit: who stops that has waited for the orders all the same.
    orders = judge(session.ledger, interrupted=session.stop.is_set())
    audited = await _audit(session)
    interrupted = session.stop.is_set()
    said = [*orders.words, audited.words]
    said += [f"could not go on: {failure}"] if failure else []
    bad, undone = bool(audited.violations) or not orders.good, bool(failure) or audited.failed
    code = BAD if bad else CANNOT if undone else INTERRUPTED if interrupted else GOOD
    document = Document(
        name=trial.name,
        title=trial.title,
        began=_iso(session.began),
        ended=_iso(session.clock.now()),
        interrupted=interrupted,
        verdict="; ".join(said) + ".",
        good=not bad and not undone,
        sections=sections,
        settings={"target": session.target.kind, **trial.settings},
        versions={**machine.versions(), **await servers.versions(session.target, session.client)},
        machine=dict(before),
        violations=audited.violations,
    )
    return document, code


@dataclass(frozen=True)
class _Audited:
    """What the audit found, and a few words about that; whether it could not be made."""

    words: str
    violations: Sequence[str] = ()
    failed: bool = False


async def _audit(session: Session) -> _Audited:
    if session.stop.is_set():
        return _Audited("not audited, since it was stopped")
    if any(name not in session.target.urls for name in KEEPERS):
        return _Audited("not audited: there is no URL of the sandbox")
    try:
        found = await session.audit(AUDIT_SECONDS)
    except BooksError as error:
        # That books cannot be read says nothing against what stands in them.
        return _Audited(f"the audit could not be made: {error}", failed=True)
    if found is None:
        return _Audited("not audited, since it was stopped")
    violations = [str(violation) for violation in found.violations]
    words = f"the audit checked {found.checked} and found {len(violations) or 'no'} violations"
    return _Audited(words, violations)


def _drawn(trial: Trial, document: Document) -> Document:
    """The report with what can be concluded from it."""
    drawn = [conclusion(document.sections) for conclusion in trial.conclusions]
    if not any(drawn):
        return document
    document = replace(document, sections=[*document.sections, *(each for each in drawn if each is not None)])
    write(trial.folder, document)
    return document


def _write(folder: Path, session: Session, document: Document) -> None:
    write(folder, document)
    write_samples(folder / "samples.csv", session.watcher.samples, session.began)
    write_orders(folder / "orders.csv", session.ledger.entries, session.began)


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")


class _Ending:
    """Ctrl-C once: place nothing more, and write what was measured. Twice: at once."""

    def __init__(self, target: object, stop: asyncio.Event, progress: Progress) -> None:
        self.at_once = False
        self._asked = False
        self._target, self._stop, self._progress = target, stop, progress
        self._task = asyncio.current_task()

    def __enter__(self) -> None:
        for number in SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, self._end)

    def __exit__(self, *_: object) -> None:
        for number in SIGNALS:
            asyncio.get_running_loop().remove_signal_handler(number)

    def check(self) -> None:
        """Go no further if it is to end at once.

        Raises:
            asyncio.CancelledError: If so. The one of before may have become another error on its way.
        """
        if self.at_once:
            raise asyncio.CancelledError

    def _end(self) -> None:
        if not self._asked:
            self._asked = True
            self._progress.tell("\nStopping, and writing the report of what was measured (Ctrl-C again: at once).")
            self._stop.set()
            return
        # A third time, too: then what an experiment is putting back as it was stays as it is.
        self.at_once = True
        if isinstance(self._target, Hasty):
            self._target.hurry()
        if self._task is not None:
            self._task.cancel()
