"""What a deployment is put through: orders flow while its pods are replaced, multiplied, deleted and killed."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from waybill.cluster import guard
from waybill.cluster.deploying import WORKLOADS, Say, wait
from waybill.cluster.kubectl import ClusterError, Kubectl
from waybill.stack.plan import SERVICES

SCALED = "shipping"
REPLICAS = 3
AUDIT_SECONDS = 300
TOOLS = ("exec", "deployment/tools", "--", "waybill")

COUNT = (
    "import urllib.request\n"
    "text = urllib.request.urlopen('http://127.0.0.1:8080/metrics', timeout=5).read().decode()\n"
    "name = 'temporal_activity_execution_latency_seconds_count'\n"
    "print(sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name)))"
)
"""How many activities a replica has run, from its own metrics."""
REACH = (
    "import json, socket, sys\n"
    "def opens(host):\n"
    "    try:\n"
    "        socket.create_connection((host, 8080), 3).close()\n"
    "    except OSError:\n"
    "        return False\n"
    "    return True\n"
    "print(json.dumps([host for host in sys.argv[1:] if opens(host)]))"
)
"""Which hosts a pod reaches."""


class TrialError(ClusterError):
    """The deployment did not hold what it promises."""


class Trial:
    """One run against a deployment that is ready."""

    def __init__(self, kubectl: Kubectl, say: Say) -> None:
        """Prepare.

        Args:
            kubectl: On the try-out cluster.
            say: Told what was done, line by line.
        """
        self._kubectl = kubectl
        self._say = say
        self._run = f"K8S{uuid.uuid4().hex[:6]}"
        self._rounds = 0

    async def run(self) -> None:
        """All of it.

        Raises:
            ClusterError: If anything is not as it should be.
        """
        await self._wait(*WORKLOADS)
        await self._round()
        for service in SERVICES:
            await self._roll(service)
        await self._scale()
        for service in SERVICES:
            await self._delete(service, "deleted")
        for service in SERVICES:
            await self._delete(service, "killed", "--grace-period=0", "--force")
        await self._separation()
        await self._audit()

    async def _wait(self, *workloads: str) -> None:
        await wait(self._kubectl, self._say, *workloads)

    async def _round(self) -> None:
        """The sample orders, once.

        Raises:
            TrialError: If one does not end as it should.
        """
        self._rounds += 1
        done = await self._kubectl.run(*TOOLS, "samples", "--run", f"{self._run}R{self._rounds}")
        lines = done.output.strip().splitlines()
        if done.code != 0:
            wrong = [line for line in lines if "expected" in line] or [done.errors.strip()]
            raise TrialError("orders did not end as they should: " + " / ".join(wrong))
        self._say(f"{len(lines)} sample orders ended as they should")

    @asynccontextmanager
    async def _orders(self) -> AsyncIterator[None]:
        """Rounds of orders for as long as the block takes, and to the end of the last."""
        enough = asyncio.Event()

        async def flow() -> None:
            while True:
                await self._round()
                if enough.is_set():
                    return

        flowing = asyncio.create_task(flow())
        try:
            yield
            enough.set()
            await flowing
        finally:
            flowing.cancel()
            await asyncio.gather(flowing, return_exceptions=True)

    async def _roll(self, service: str) -> None:
        self._say(f"{service} is replaced, while orders flow")
        async with self._orders():
            await self._kubectl.do("rollout", "restart", f"deployment/{service}")
            await self._wait(f"deployment/{service}")

    async def _scale(self) -> None:
        self._say(f"{SCALED} gets {REPLICAS} replicas, and one again, while orders flow")
        await self._kubectl.do("scale", f"deployment/{SCALED}", f"--replicas={REPLICAS}")
        await self._wait(f"deployment/{SCALED}")
        pods = await self._pods(SCALED)
        if len(pods) != REPLICAS:
            raise TrialError(f"{SCALED} has {len(pods)} pods, not {REPLICAS}")
        before = await self._activities(pods)
        await self._round()
        done = [now - then for now, then in zip(await self._activities(pods), before, strict=True)]
        if min(done) <= 0:
            raise TrialError(f"a replica of {SCALED} did nothing: {done}")
        self._say(f"the replicas of {SCALED} ran {', '.join(f'{count:.0f}' for count in done)} activities")
        async with self._orders():
            await self._kubectl.do("scale", f"deployment/{SCALED}", "--replicas=1")
            await self._wait(f"deployment/{SCALED}")

    async def _delete(self, service: str, how: str, *options: str) -> None:
        self._say(f"the pods of {service} are {how}, while orders flow")
        async with self._orders():
            selector = f"app.kubernetes.io/name={service}"
            await self._kubectl.do("delete", "pods", "--selector", selector, "--wait=false", *options)
            await self._wait(f"deployment/{service}")

    async def _separation(self) -> None:
        """Tell whether the cluster keeps the services apart: not every cluster enforces its policies."""
        open_ways = []
        for service in SERVICES:
            others = [name for name in SERVICES if name != service]
            said = await self._kubectl.do("exec", f"deployment/{service}", "--", "python", "-c", REACH, *others)
            open_ways += [f"{service} to {other}" for other in json.loads(said)]
        if open_ways:
            self._say(f"WARNING: this cluster enforces no network policies; open are {', '.join(open_ways)}")
        else:
            self._say("no service reaches another")

    async def _audit(self) -> None:
        done = await self._kubectl.run(*TOOLS, "audit", "--wait", "--timeout", str(AUDIT_SECONDS))
        for line in done.output.strip().splitlines():
            self._say(line)
        if done.code != 0:
            raise TrialError(f"the audit exits with {done.code} {done.errors.strip()}".strip())

    async def _pods(self, service: str) -> list[str]:
        """Pods that are not on their way out."""
        found = await self._kubectl.get("pods", "--selector", f"app.kubernetes.io/name={service}")
        return [item["metadata"]["name"] for item in found["items"] if "deletionTimestamp" not in item["metadata"]]

    async def _activities(self, pods: list[str]) -> list[float]:
        asked = [self._kubectl.do("exec", pod, "--", "python", "-c", COUNT) for pod in pods]
        return [float(said) for said in await asyncio.gather(*asked)]


async def test(say: Say) -> None:
    """Put the deployment on the current try-out cluster through everything.

    Raises:
        ClusterError: If it does not hold, or the cluster may not be touched.
    """
    kubectl = await guard.tryout()
    if not await guard.there(kubectl):
        raise ClusterError(f"there is no namespace {guard.NAMESPACE} on {kubectl.context}: make k8s-up")
    await Trial(kubectl, say).run()
