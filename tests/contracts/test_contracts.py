"""Contracts: owned by the callee, copied byte for byte, made of nothing but the standard library and temporalio."""

import ast
import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
CALLEES = ["inventory", "payments", "shipping"]
SERVICES = [*CALLEES, "orchestrator"]


def owned(service: str) -> Path:
    return ROOT / "services" / service / "src" / service / "contract.py"


@pytest.mark.parametrize("service", CALLEES)
def test_the_orchestrators_copy_is_the_owners_contract_byte_for_byte(service: str) -> None:
    copy = ROOT / "services" / "orchestrator" / "src" / "orchestrator" / "contracts" / f"{service}.py"
    assert copy.read_bytes() == owned(service).read_bytes(), "the copy is stale: make contracts"


@pytest.mark.parametrize("service", SERVICES)
def test_a_contract_imports_the_standard_library_and_temporalio_only(service: str) -> None:
    tree = ast.parse(owned(service).read_text())
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported <= {*sys.stdlib_module_names, "temporalio"}


@pytest.mark.parametrize("service", SERVICES)
def test_a_queue_is_named_like_its_service(service: str) -> None:
    assert service == contract_of(service).TASK_QUEUE


@pytest.mark.parametrize("service", SERVICES)
def test_every_wire_name_begins_with_the_name_of_its_service(service: str) -> None:
    names = [
        value.__temporal_workflow_definition.name
        for value in vars(contract_of(service)).values()
        if isinstance(value, type) and hasattr(value, "__temporal_workflow_definition")
    ]
    assert names
    assert all(name.startswith(f"{service}.") for name in names)


def test_ids_of_one_order_differ_from_service_to_service() -> None:
    inventory, payments, shipping, orchestrator = (
        contract_of(name) for name in ("inventory", "payments", "shipping", "orchestrator")
    )
    ids = [
        inventory.reserve_id("o"),
        inventory.commit_id("o"),
        inventory.release_id("o"),
        payments.authorise_id("o"),
        payments.capture_id("o"),
        payments.reverse_id("o"),
        shipping.plan_id("o"),
        shipping.book_id("o", 1),
        shipping.cancel_id("o"),
        shipping.track_id("o", 1),
        orchestrator.fulfil_id("o"),
        orchestrator.follow_id("o"),
    ]
    assert len(set(ids)) == len(ids)
    assert all(one.split(":")[1] == "o" for one in ids)


def contract_of(service: str) -> ModuleType:
    return importlib.import_module(f"{service}.contract")
