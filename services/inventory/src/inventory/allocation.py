"""Which warehouse gives which units: a pure function, so that it can be tested and changed alone."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from inventory.contract import Line


@dataclass(frozen=True, slots=True)
class Pick:
    """Units of one SKU taken from one warehouse."""

    sku: str
    warehouse: str
    quantity: int


def allocate(lines: Iterable[Line], free: Mapping[tuple[str, str], int]) -> tuple[tuple[Pick, ...], tuple[Line, ...]]:
    """Take as much of the lines as there is, from few warehouses.

    The warehouse that has most of what is still wanted comes first, so one that has everything is the only one. A
    parcel leaves each warehouse that is used: fewer are cheaper. This is the greedy answer to a set cover, which may
    use one warehouse more than the best answer where stock is oddly spread. Ties go to the first name, so that equal
    requests give equal answers.

    Args:
        lines: What is wanted; each SKU once.
        free: Units that nobody holds, by SKU and warehouse.

    Returns:
        The picks, in the order of the lines and then of the warehouses' names, and what is missing.
    """
    lines = tuple(lines)
    wanted = {line.sku: line.quantity for line in lines}
    shelves: dict[str, dict[str, int]] = {}
    for (sku, warehouse), units in free.items():
        if units > 0 and sku in wanted:
            shelves.setdefault(warehouse, {})[sku] = units
    picks: list[Pick] = []
    while shelves:
        cover = {
            warehouse: sum(min(units, wanted[sku]) for sku, units in shelf.items())
            for warehouse, shelf in shelves.items()
        }
        best = min(cover, key=lambda warehouse: (-cover[warehouse], warehouse))
        if cover[best] == 0:
            break
        for sku, units in shelves.pop(best).items():
            taken = min(units, wanted[sku])
            if taken:
                wanted[sku] -= taken
                picks.append(Pick(sku, best, taken))
    position = {line.sku: number for number, line in enumerate(lines)}
    picks.sort(key=lambda pick: (position[pick.sku], pick.warehouse))
    missing = tuple(Line(line.sku, wanted[line.sku]) for line in lines if wanted[line.sku])
    return tuple(picks), missing
