"""Finds the report that a plan is made from, and says what one must know about it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from waybill.load.limits import STRANGERS, Resource
from waybill.load.plain import TITLE
from waybill.load.report.files import DOCUMENT
from waybill.load.targets import Remote
from waybill.planning.measured import MACHINE, Costs, PlanError, costs

COMMAND = "waybill load --rate 2 --seconds 120 --delivery-seconds 6"
"""What makes a report for a plan."""
PLAN = "Capacity plan"
"""Title of a plan's own report."""
FEW = 100
"""Orders below which it is said how few there were."""


@dataclass(frozen=True)
class Run:
    """A run of ``waybill load``, as its report tells of it.

    Attributes:
        path: Of the report.
        name: Of the run.
        began: When, ISO 8601, UTC.
        target: What was loaded.
        machine: Where.
        versions: Of what.
        shares: Of the kinds of orders.
        costs: What an order cost.
        warnings: What one must know before believing it.
    """

    path: str
    name: str
    began: str
    target: str
    machine: Mapping[str, Any]
    versions: Mapping[str, Any]
    shares: Mapping[str, float]
    costs: Costs
    warnings: tuple[str, ...]


def read(path: Path) -> Run:
    """Read a report.

    Raises:
        PlanError: If there is none, it is of another experiment, its run was not completed, or a plan needs more.
    """
    # Who names the folder, or the page, means what lies in it, or beside it.
    path = path / DOCUMENT if path.is_dir() else path.with_name(DOCUMENT) if path.suffix == ".html" else path
    try:
        document = _document(path)
    except OSError as error:
        raise PlanError(f"{path} cannot be read: {error.strerror} (make one with: {COMMAND})") from None
    except ValueError:
        raise PlanError(f"{path} is not JSON") from None
    try:
        return _run(path, document)
    except PlanError as error:
        raise PlanError(f"{path}: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise PlanError(f"{path} is no report of waybill load ({type(error).__name__}: {error})") from None


def newest(folder: Path) -> Run:
    """The newest report in the folders of a folder of which a plan can be made.

    Raises:
        PlanError: If there is none.
    """
    found: list[Run] = []
    refused: list[str] = []
    for path in sorted(folder.glob(f"*/{DOCUMENT}")):
        try:
            found.append(read(path))
        except PlanError as error:
            refused.append(str(error))
    if not found:
        why = f" that a plan can be made from ({'; '.join(refused)})" if refused else ""
        raise PlanError(f"there is no report in {folder}{why}: make one with: {COMMAND}")
    return max(found, key=lambda run: run.began)


def holds_a_run(folder: Path) -> bool:
    """Whether a report lies in a folder that is no plan: it took minutes, and a plan written there would replace it."""
    try:
        document = _document(folder / DOCUMENT)
    except OSError:
        return False
    except ValueError:
        return True
    return not isinstance(document, dict) or document.get("title") != PLAN


def _document(path: Path) -> Any:
    """What stands in a report.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is not JSON, which has no infinities, and is not nested without an end.
    """

    def refuse(constant: str) -> None:
        raise ValueError(f"JSON has no {constant}")

    try:
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _run(path: Path, document: Mapping[str, Any]) -> Run:
    results = _results(document)
    if document["interrupted"]:
        raise PlanError("its run was stopped by hand")
    if not document["good"]:
        raise PlanError(f"its run did not end well: {document['verdict']}")
    found = costs(results, results["while_orders_came"], int(results["orders_sent"]))
    machine: Mapping[str, Any] = document["machine"]
    if missing := [name for name in MACHINE if name not in machine]:
        raise PlanError(f"it does not tell the {missing[0]} of its machine")
    target = str(document["settings"]["target"])
    return Run(
        str(path),
        str(document["name"]),
        str(document["began"]),
        target,
        machine,
        document["versions"],
        results["shares"],
        found,
        tuple(_warnings(found, results, target)),
    )


def _results(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Figures of orders at a rate: the first experiment, or one of several."""
    for section in document["sections"]:
        if section["title"] == TITLE:
            results: Mapping[str, Any] = section["results"]
            return results
    titles = ", ".join(repr(section["title"]) for section in document["sections"]) or "nothing"
    raise PlanError(f"it tells of {titles}, and a plan needs orders at a rate ({COMMAND})")


def _warnings(found: Costs, results: Mapping[str, Any], target: str) -> list[str]:
    said = list(found.gaps)
    if not found.delivered:
        said.append(
            "Parcels were still on their way at the end of the run: what following a delivery costs is not in it. "
            f"{COMMAND} measures it."
        )
    if found.orders < FEW:
        said.append(f"{found.orders} orders are few to tell from: a run of some minutes tells more.")
    if results["limited_by"] == Resource.MACHINE:
        said.append(
            "The run filled its machine: work waited for a core and kept slots meanwhile, so that replicas by slots "
            "are too many. Load it less."
        )
    strangers = results["strangers_cores"]
    if strangers is not None and strangers >= STRANGERS:
        said.append(f"Something else used {strangers:.1f} cores of the machine meanwhile.")
    if wrong := results["orders_with_errors"] + results["orders_that_ended_otherwise"]:
        said.append(f"{wrong} of its orders got no answer, or ended otherwise than they should.")
    if not results["open_loop"]:
        said.append("The loop was not open all the time: some orders were held back.")
    if target == Remote.kind:
        said.append(
            "Replicas behind one address are one to us: CPU is that of those that answered, memory that of the last."
        )
    return said
