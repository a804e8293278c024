"""Markdown files, read as far as the tests need: links, headings, code and tables."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parents[2]
SKIPPED = {"build", "dist", "node_modules", "__pycache__"}

_FENCE = re.compile(r"^ *(`{3,}|~{3,})[^\n]*\n(.*?)^ *\1[ \t]*$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"^(?:(?:^|(?<=\n))(?: {4}|\t)[^\n]*\n?)+", re.MULTILINE)
_SPAN = re.compile(r"(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
_LINK = re.compile(r"\[(?P<text>(?:`[^`]*`|[^\]`])*)\]\((?P<target>[^()\s]+)(?:\s+\"[^\"]*\")?\)")
_HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Link:
    """A link to something in the repository."""

    file: Path
    text: str
    """As it is written, backticks included."""
    target: Path
    anchor: str

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}: [{self.text}]"


def documents() -> list[Path]:
    """Every Markdown file of the repository; what tools made, or installed, is none of it."""
    return sorted(_walk(ROOT))


def _walk(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name.startswith(".") or path.name in SKIPPED:
            continue
        if path.is_dir():
            yield from _walk(path)
        elif path.suffix == ".md":
            yield path


def links(file: Path) -> list[Link]:
    """Links that do not lead to another host."""
    found = []
    for match in _LINK.finditer(prose(file)):
        target = match["target"]
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        path, _, anchor = unquote(target).partition("#")
        found.append(Link(file, match["text"], (file.parent / path).resolve() if path else file, anchor))
    return found


def prose(file: Path) -> str:
    """The text without its blocks of code."""
    return _FENCE.sub("", file.read_text())


def code(file: Path) -> list[str]:
    """Blocks and spans of code."""
    text = file.read_text()
    blocks = [match[2] for match in _FENCE.finditer(text)]
    rest = _FENCE.sub("", text)
    return blocks + [match[0] for match in _INDENTED.finditer(rest)] + [match[2] for match in _SPAN.finditer(rest)]


def anchors(file: Path) -> set[str]:
    """Names under which headings can be linked to, by GitHub's rule."""
    names: set[str] = set()
    for match in _HEADING.finditer(prose(file)):
        plain = re.sub(r"[^\w\- ]", "", match[1].lower()).replace(" ", "-")
        names.add(plain if plain not in names else f"{plain}-{sum(name.startswith(plain) for name in names)}")
    return names


def table(file: Path, *columns: str) -> list[Mapping[str, str]]:
    """The rows of the table with these columns.

    Raises:
        LookupError: If there is no such table, or a second.
    """
    lines = iter(prose(file).splitlines())
    found: list[list[Mapping[str, str]]] = []
    for line in lines:
        if tuple(_cells(line)) == columns:
            rows: list[Mapping[str, str]] = []
            for row in lines:
                if not row.startswith("|"):
                    break
                rows.append(dict(zip(columns, _cells(row), strict=True)))
            found.append(rows[1:])  # the first is the line under the header
    if len(found) != 1:
        raise LookupError(f"{file.name} has {len(found)} tables with the columns {', '.join(columns)}")
    return found[0]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]
