"""How much of a linear gain replicas of one pool bring: the pool alone, as ``waybill load scale`` loads it."""

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from waybill.bench.harness import Contest, Detail, Group, Shared
from waybill.load.limits import limit
from waybill.load.options import Pool
from waybill.load.outside import arranged
from waybill.load.pool import SERVICE, Point, saturate
from waybill.load.session import Session, opened
from waybill.load.targets import LoadError, embedded

WANTED = {4: 0.95, 8: 0.90}
"""Share of a linear gain, by replicas."""
OPTIONS = Pool(slots=5, settle_seconds=4.0, seconds=18.0)
"""Five slots, so that eight replicas leave two cores room. A round is three points of half a minute each."""
NAMES = tuple(f"scale_pool_{replicas}" for replicas in WANTED)


class Rounds:
    """All numbers of replicas, one after the other, again and again."""

    def __init__(self, session: Session, options: Pool = OPTIONS, wanted: Mapping[int, float] = WANTED) -> None:
        """Take what runs already.

        Args:
            session: On a stack of its own, with slots and providers arranged.
            options: Of the points, but for their replicas.
            wanted: Replicas beside one, and the share of a linear gain that each should reach.
        """
        self._session, self._options, self._wanted = session, options, wanted
        self._rounds = 0
        self._limits: dict[int, Counter[str]] = {replicas: Counter() for replicas in (1, *wanted)}

    async def round(self) -> dict[int, Point]:
        """Each number once; upwards and downwards in turns.

        Raises:
            LoadError: If a pool did too little to be measured, or work of its own failed.
        """
        upwards = self._rounds % 2 == 0
        self._rounds += 1
        points: dict[int, Point] = {}
        for replicas in sorted(self._limits, reverse=not upwards):
            point = await saturate(self._session, self._options, replicas)
            if point is None or point.failed:
                raise LoadError(f"{SERVICE} with {replicas} replicas did not do its work: {point}")
            window = self._session.window(point.begin, point.end)
            self._limits[replicas][limit(window).words] += 1
            points[replicas] = point
        return points

    def contests(self) -> Sequence[Contest]:
        """Each looks at the same rounds."""
        rounds = Shared(self.round)

        def scaled(replicas: int) -> Contest:
            def detail() -> Detail:
                said = self._limits[replicas].most_common()
                return {"limited by": "; ".join(f"{words} ({times} of {self._rounds})" for words, times in said)}

            return Contest(
                f"scale_pool_{replicas}",
                "activities/s",
                rounds.figure(lambda points: points[replicas].rate),
                rounds.figure(lambda points: replicas * points[1].rate),
                f"{replicas} replicas of {SERVICE} against {replicas} times one; {self._wanted[replicas]:.2f} or more",
                detail,
            )

        return [scaled(replicas) for replicas in self._wanted]


@asynccontextmanager
async def setting() -> AsyncIterator[Sequence[Contest]]:
    """A stack of its own, whose carriers take a second to answer."""
    with TemporaryDirectory(prefix="waybill-bench-") as folder:
        async with embedded(Path(folder), {}, lambda _: None) as target:
            run = f"bench{uuid.uuid4().hex[:8]}"
            async with (
                opened(target, run, asyncio.Event(), lambda _: None) as session,
                arranged(session, SERVICE, OPTIONS.slots, OPTIONS.provider_seconds),
            ):
                yield Rounds(session).contests()


GROUP = Group(NAMES, setting)
