"""The sandbox that workflows run in: what it shares with us, and what it need not be asked."""

from collections.abc import Sequence
from typing import Any

from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.converter import DataConverter, StorageDriverStoreContext, WorkflowSerializationContext
from temporalio.worker import WorkflowInstance, WorkflowInstanceDetails
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions
from temporalio.workflow import Info


def runner(workflows: Sequence[type], converter: DataConverter) -> SandboxedWorkflowRunner:
    """The sandbox for some workflows.

    It imports a workflow's modules anew for every run, and whatever they import, unless it is told that a module may be
    shared. To make a contract's dataclasses again for each run costs more than most workflows do. So contracts and this
    chassis are shared: they are data and pure functions, which a boundary test holds. The modules of workflows are not,
    so that a clock or a file that one of them touches is still refused.

    Args:
        workflows: Classes of one service.
        converter: Of the worker's client.
    """
    contracts = [f"{package}.{name}" for package in sorted(packages(workflows)) for name in ("contract", "contracts")]
    shared = SandboxRestrictions.default.with_passthrough_modules(__package__, *contracts)
    kind = SandboxedWorkflowRunner if wants_context(converter) else WithoutContext
    return kind(restrictions=shared)


def packages(workflows: Sequence[type]) -> set[str]:
    """Where workflows come from: the service's own package."""
    return {workflow.__module__.partition(".")[0] for workflow in workflows}


def wants_context(converter: DataConverter) -> bool:
    """Whether a part of it converts by whose payload it is, or stores payloads elsewhere."""
    whose = WorkflowSerializationContext(namespace="any", workflow_id="any")
    return converter.external_storage is not None or converter.with_context(whose) is not converter


class WithoutContext(SandboxedWorkflowRunner):
    """The same sandbox, for converters that do not ask whose payload they have.

    For each payload of each task temporalio (1.35) asks the workflow's instance four to six times whose it is, each
    time by code that is compiled and run inside of the sandbox: a fifth of the orchestrator's processor time, for an
    answer that nobody uses.
    """

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        """See the base class."""
        return _Plain(super().create_instance(det))


class _Plain(WorkflowInstance):
    """An instance that says of every payload that it has no context."""

    def __init__(self, sandboxed: WorkflowInstance) -> None:
        self._sandboxed = sandboxed

    def activate(self, act: WorkflowActivation) -> WorkflowActivationCompletion:
        return self._sandboxed.activate(act)

    def get_serialization_context(self, command_info: Any) -> None:  # noqa: ARG002 - the base class's form
        return None

    def get_external_store_context(self, command_info: Any) -> StorageDriverStoreContext:  # noqa: ARG002 - as above
        return StorageDriverStoreContext(target=None)

    def get_info(self) -> Info:
        return self._sandboxed.get_info()

    def get_thread_id(self) -> int | None:
        return self._sandboxed.get_thread_id()
