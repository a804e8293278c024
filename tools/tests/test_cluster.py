"""What is done to a cluster, and to which: by a kubectl that only writes down what it is asked."""

import itertools
import json
import os
from pathlib import Path

import pytest

from waybill.cluster import deploying, guard, secrets, trial
from waybill.cluster.kubectl import ClusterError
from waybill.stack.plan import SERVICES

from .fake_kubectl import FakePrograms, items

OURS = {"metadata": {"name": guard.NAMESPACE, "labels": {guard.LABEL: "true"}}}
CHANGES = {"apply", "create", "delete", "scale", "rollout", "exec"}


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakePrograms:
    """A kind cluster with our namespace and our Secrets, on which all goes well."""
    fake = FakePrograms(tmp_path)
    fake.make("kubectl", "docker", "kind")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv(guard.TRYOUT, raising=False)
    monkeypatch.chdir(Path(__file__).parents[2])
    fake.answer("config current-context", "kind-waybill\n")
    fake.answer("get namespaces", items("default", guard.NAMESPACE))
    fake.answer("get namespace waybill-tryout", OURS)
    fake.answer("get secrets", items(*secrets.values()))
    fake.answer("get pods", items("shipping-1", "shipping-2", "shipping-3"))
    fake.answer("samples", "K8S-1-01-fulfilled: fulfilled after 2.0 s\n")
    fake.answer("audit", "checked 25 orders: no violations\n")
    fake.answer("print(json.dumps", "[]\n")
    return fake


@pytest.fixture
def at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every replica has run ten activities more whenever it is asked."""
    counts = itertools.count(1, 10)

    async def activities(self: trial.Trial, pods: list[str]) -> list[float]:
        return [float(next(counts))] * len(pods)

    monkeypatch.setattr(trial.Trial, "_activities", activities)


def changes(programs: FakePrograms) -> list[str]:
    """Commands that change something."""
    return [" ".join(command) for command in programs.asked if CHANGES & set(command)]


async def test_a_context_that_nobody_marked_is_refused_before_anything_is_asked_of_it(programs: FakePrograms) -> None:
    programs.answer("config current-context", "production-eu\n")
    for command in (deploying.up, deploying.down, trial.test):
        with pytest.raises(guard.Refused, match="production-eu, is not marked"):
            await command(print)
    assert programs.asked == [["kubectl", "config", "current-context"]] * 3


async def test_without_a_context_it_says_how_to_get_one(programs: FakePrograms) -> None:
    programs.answer("config current-context", "", code=1, errors="error: current-context is not set")
    with pytest.raises(guard.Refused, match="kind create cluster"):
        await deploying.up(print)


@pytest.mark.parametrize("context", ["kind-waybill", "k3d-x", "minikube"])
def test_clusters_on_ones_own_machine_are_marked_by_their_names(context: str) -> None:
    assert guard.marked(context)


def test_another_context_is_marked_by_its_whole_name_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(guard.TRYOUT, "team-sandbox")
    assert guard.marked("team-sandbox")
    assert not guard.marked("team-sandbox-2")
    monkeypatch.setenv(guard.TRYOUT, "")
    assert not guard.marked("production")


async def test_a_namespace_that_somebody_else_made_is_left_alone(programs: FakePrograms) -> None:
    programs.answer("get namespace waybill-tryout", {"metadata": {"name": guard.NAMESPACE, "labels": {}}})
    for command in (deploying.up, deploying.down, trial.test):
        with pytest.raises(guard.Refused, match="has no label"):
            await command(print)
    assert changes(programs) == []


@pytest.mark.usefixtures("at_work")
async def test_every_command_names_context_and_namespace(programs: FakePrograms) -> None:
    await deploying.up(print)
    await trial.test(print)
    await deploying.down(print)
    asked = [command for command in programs.asked if command[0] == "kubectl" and "current-context" not in command]
    assert all(command[1:5] == ["--context", "kind-waybill", "--namespace", guard.NAMESPACE] for command in asked)


async def test_up_makes_namespace_and_secrets_before_it_applies_and_waits_for_all(programs: FakePrograms) -> None:
    programs.answer("get namespaces", items("default"))
    programs.answer("get secrets", items())
    said: list[str] = []
    await deploying.up(said.append)
    words = [next(word for word in command.split() if word in CHANGES) for command in changes(programs)]
    assert words == ["apply", "create", "apply", *["rollout"] * len(deploying.WORKLOADS)]
    [namespace] = programs.given("apply --filename -")
    assert json.loads(namespace)["metadata"]["labels"] == {guard.LABEL: "true"}
    assert any("Secrets" in line for line in said)


async def test_secrets_are_on_no_command_line(programs: FakePrograms) -> None:
    programs.answer("get secrets", items())
    await deploying.up(print)
    [given] = programs.given("create --filename -")
    made = [value for item in json.loads(given)["items"] for value in item["stringData"].values()]
    assert len(made) > 10
    assert not any(value in word for command in programs.asked for word in command for value in made)


async def test_secrets_that_are_there_stay(programs: FakePrograms) -> None:
    await deploying.up(print)
    assert programs.given("create --filename -") == []


async def test_half_of_the_secrets_are_not_made_anew(programs: FakePrograms) -> None:
    programs.answer("get secrets", items("postgres"))
    with pytest.raises(ClusterError, match=r"inventory, orchestrator, payments, .* are missing"):
        await deploying.up(print)


def test_each_password_opens_its_own_database_and_what_is_shared_is_shared() -> None:
    made = secrets.values()
    for service in SERVICES:
        url = made[service][f"{service}_database_url"]
        assert f":{made['postgres'][f'{service}_password']}@" in url
    assert len({made["postgres"][key] for key in made["postgres"]}) == len(SERVICES) + 1
    assert made["shipping"]["shipping_webhook_secret"] == made["sandbox"]["sandbox_webhook_secret"]
    assert {made[service][f"{service}_operator_token"] for service in SERVICES} == {made["tools"]["operator_token"]}
    assert made != secrets.values()


async def test_images_of_this_machine_are_loaded_into_kind_and_into_nothing_else(programs: FakePrograms) -> None:
    await deploying.up(print)
    [load] = [command for command in programs.asked if command[0] == "kind"]
    assert load[1:3] == ["load", "docker-image"]
    assert load[-2:] == ["--name", "waybill"]
    assert set(load[3:-2]) == set(deploying.IMAGES)
    programs.answer("config current-context", "minikube\n")
    await deploying.up(print)
    assert sum(command[0] == "kind" for command in programs.asked) == 1


async def test_what_does_not_become_ready_is_told_with_what_the_cluster_says_of_it(programs: FakePrograms) -> None:
    programs.answer("rollout status deployment/payments", code=1, errors="error: timed out waiting")
    programs.answer("get events", "LAST SEEN\n1s Warning FailedMount pod/payments-1\n")
    said: list[str] = []
    with pytest.raises(ClusterError, match="deployment/payments does not become ready: error: timed out waiting"):
        await deploying.up(said.append)
    assert "1s Warning FailedMount pod/payments-1" in said


@pytest.mark.usefixtures("at_work")
async def test_the_trial_rolls_scales_deletes_and_kills_while_orders_flow_and_ends_with_the_audit(
    programs: FakePrograms,
) -> None:
    said: list[str] = []
    await trial.test(said.append)
    done = changes(programs)
    for service in SERVICES:
        assert sum(f"rollout restart deployment/{service}" in command for command in done) == 1
        deletions = [command for command in done if f"--selector app.kubernetes.io/name={service} --wait" in command]
        assert [("--force" in command) for command in deletions] == [False, True]
    assert [command.rpartition("=")[2] for command in done if "scale" in command.split()] == ["3", "1"]
    assert sum("samples" in command for command in done) >= 1 + 3 * len(SERVICES) + 2
    assert "audit --wait" in done[-1]
    assert said[-1] == "checked 25 orders: no violations"
    assert "the replicas of shipping ran 10, 10, 10 activities" in said


async def test_a_replica_that_does_nothing_ends_the_trial(programs: FakePrograms) -> None:
    programs.answer("temporal_activity_execution_latency_seconds_count", "7\n")
    with pytest.raises(trial.TrialError, match="a replica of shipping did nothing"):
        await trial.test(print)


async def test_an_order_that_ends_wrong_ends_the_trial(programs: FakePrograms) -> None:
    wrong = "K8S-1-01-fulfilled: failed, expected fulfilled after 2.0 s\n"
    programs.answer("samples", f"K8S-1-02-x: rejected after 1.0 s\n{wrong}", code=1)
    with pytest.raises(trial.TrialError, match="failed, expected fulfilled"):
        await trial.test(print)


@pytest.mark.usefixtures("at_work")
async def test_violations_end_the_trial(programs: FakePrograms) -> None:
    programs.answer("audit", "payment K8S-1: twice\n", code=1)
    said: list[str] = []
    with pytest.raises(trial.TrialError, match="the audit exits with 1"):
        await trial.test(said.append)
    assert said[-1] == "payment K8S-1: twice"


@pytest.mark.usefixtures("at_work")
async def test_a_cluster_that_enforces_no_policies_is_told(programs: FakePrograms) -> None:
    programs.answer("exec deployment/payments -- python", '["inventory"]')
    said: list[str] = []
    await trial.test(said.append)
    assert any("enforces no network policies; open are payments to inventory" in line for line in said)


async def test_down_deletes_the_namespace_and_nothing_else(programs: FakePrograms) -> None:
    await deploying.down(print)
    assert [command.split()[5:8] for command in changes(programs)] == [["delete", "namespace", guard.NAMESPACE]]


async def test_down_where_there_is_nothing_does_nothing(programs: FakePrograms) -> None:
    programs.answer("get namespaces", items("default"))
    await deploying.down(print)
    await deploying.down(print)
    assert changes(programs) == []


async def test_without_kubectl_it_says_so(programs: FakePrograms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ClusterError, match="kubectl is not on PATH"):
        await deploying.down(print)
