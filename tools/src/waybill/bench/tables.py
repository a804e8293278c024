"""The table of settings in docs/performance.md, from the pairs measured: ``python -m waybill.bench.tables``."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from waybill.bench.harness import Result, read_pairs
from waybill.bench.tuning_choices import ORDERS, TWINS

PAIRS = Path("docs/performance/tuning.csv")
DOCUMENT = Path("docs/performance.md")
BEGIN, END = "<!-- tuning.csv -->\n", "<!-- end of tuning.csv -->\n"
COLUMNS = ("Benchmark", "Ours, against what", "Ours", "Other", "Ratio", "Unit", "Pairs")


def markdown(results: Sequence[Result], notes: Mapping[str, str]) -> str:
    """A table.

    Args:
        results: Of contests.
        notes: What each compares, by its name.

    Raises:
        KeyError: If one of them is no contest any more.
    """
    head = (f"| {' | '.join(COLUMNS)} |\n", f"| {' | '.join('---' for _ in COLUMNS)} |\n")
    rows = (
        f"| `{each.name}` | {notes[each.name]} | {each.ours:.3g} | {each.baseline:.3g} | {each.ratio:.2f}"
        f" | {each.unit} | {each.pairs} |\n"
        for each in results
    )
    return "".join((*head, *rows))


def renewed(document: str, pairs: Path) -> str:
    """A document with the table of what was measured.

    Args:
        document: As it is, with ``BEGIN`` and ``END`` in it.
        pairs: The file of pairs.

    Raises:
        ValueError: If the document has no place for it.
    """
    if not 0 <= document.find(BEGIN) < document.find(END):
        raise ValueError(f"the document has no {BEGIN.strip()} before {END.strip()}")
    notes = {choice.contest(figure): choice.note for choice in (*TWINS, *ORDERS) for figure in choice.figures}
    before, _, rest = document.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + "\n" + markdown(read_pairs(pairs), notes) + "\n" + END + after


if __name__ == "__main__":
    DOCUMENT.write_text(renewed(DOCUMENT.read_text(), PAIRS))
