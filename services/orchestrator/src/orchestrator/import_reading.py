"""Files of orders, read as they come: JSON Lines of the body of ``POST /orders``, or CSV with one order a line.

The columns of CSV are the members of that body, those of ``address`` among them, in any order; ``lines`` is of the form
``TEA-250:2 POT-1:1``. An empty cell is an absent member. A record is one line: there are no line breaks in quotes.
"""

import csv
import hashlib
import json
from collections.abc import AsyncIterable, AsyncIterator, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import ValidationError

from chassis.problems import Problem, invalid
from orchestrator.models import OrderBody
from orchestrator.settings import Settings
from orchestrator.terms import terms_of

MAX_LINE = 64 * 1024
"""Most bytes of one line."""

ADDRESS = ("name", "street", "city", "postcode", "country")
REQUIRED = ("currency", "lines", *ADDRESS, "email")
OPTIONAL = ("order_id", "card_token", "account_id", "allow_partial", "expected_total", "approval_limit_seconds")


class Form(StrEnum):
    """How a file is written, by its content type."""

    CSV = "text/csv"
    JSON_LINES = "application/x-ndjson"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a file.

    Attributes:
        request: The order's workflow's input, its ``order_id`` null where the line names none; None if it is malformed.
        digest: Of the order's body.
        detail: What is wrong with it, or None.
    """

    line: int
    request: dict[str, Any] | None = None
    digest: str | None = None
    detail: str | None = None


def unreadable(line: int, detail: str) -> Problem:
    """The problem with a whole file, by the line where it shows."""
    return Problem(422, "Unreadable File", f"line {line}: {detail}", line=line)


class OrderFile:
    """A file of orders that is being sent. Only one line of it is held."""

    def __init__(self, form: Form, settings: Settings) -> None:
        """Begin.

        Args:
            form: How it is written.
            settings: The shop's terms, and how large a file may be.
        """
        self._form = form
        self._settings = settings
        self._sha = hashlib.sha256(form.encode())

    @property
    def digest(self) -> str:
        """Of all that was read."""
        return self._sha.hexdigest()

    async def rows(self, chunks: AsyncIterable[bytes]) -> AsyncIterator[Row]:
        """The rows, good and malformed ones; empty lines are none.

        Args:
            chunks: The file.

        Raises:
            Problem: 413 if the file is too large; 422 if it is no text, has a line that is too long, a wrong header, or
                no rows.
        """
        parse: Callable[[str], OrderBody] | None = _from_json if self._form is Form.JSON_LINES else None
        number = rows = 0
        async for raw in self._lines(chunks):
            number += 1
            text = _text(raw, number)
            if not text:
                continue
            if parse is None:
                parse = _from_csv(text, number)
                continue
            rows += 1
            yield self._row(number, text, parse)
        if not rows:
            raise unreadable(max(number, 1), "the file ends without a single order")

    async def _lines(self, chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        size, number, rest = 0, 1, b""
        async for chunk in chunks:
            self._sha.update(chunk)
            size += len(chunk)
            if size > self._settings.import_max_bytes:
                raise Problem(
                    413,
                    "Content Too Large",
                    f"A file has at most {self._settings.import_max_bytes} bytes.",
                    line=number,
                )
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield _short(line, number)
                number += 1
            _short(rest, number)
        if rest:
            yield rest

    def _row(self, number: int, text: str, parse: Callable[[str], OrderBody]) -> Row:
        try:
            body = parse(text)
            request = terms_of(body, body.order_id or "", self._settings)
        except ValidationError as error:
            return Row(number, detail=invalid(error).detail)
        except Problem as problem:
            return Row(number, detail=problem.detail)
        except ValueError as error:
            return Row(number, detail=str(error))
        return Row(number, {**request, "order_id": body.order_id}, body.digest())


def _short(line: bytes, number: int) -> bytes:
    if len(line) > MAX_LINE:
        raise unreadable(number, f"it has more than {MAX_LINE} bytes")
    return line


def _text(raw: bytes, number: int) -> str:
    if number == 1:
        raw = raw.removeprefix(b"\xef\xbb\xbf")
    try:
        text = raw.decode().strip()
    except UnicodeDecodeError as error:
        raise unreadable(number, "it is no text in UTF-8") from error
    if "\0" in text:
        raise unreadable(number, "it holds a null character, as binary files do")
    return text


def _from_json(text: str) -> OrderBody:
    return OrderBody.model_validate_json(text, strict=True)


def _from_csv(header: str, number: int) -> Callable[[str], OrderBody]:
    """How to read the lines under a header.

    Raises:
        Problem: 422 if it is no header of ours.
    """
    try:
        names = [name.strip() for name in _cells(header)]
    except ValueError as error:
        raise unreadable(number, str(error)) from error
    missing = [name for name in REQUIRED if name not in names]
    strange = [name for name in names if name not in (*REQUIRED, *OPTIONAL)]
    if missing or strange or len(set(names)) != len(names):
        what = f"lacks {', '.join(missing)}" if missing else f"has {', '.join(strange) or 'a column twice'}"
        raise unreadable(
            number, f"the header {what[:200]}; it has {', '.join(REQUIRED)} and may have {', '.join(OPTIONAL)}"
        )

    def parse(text: str) -> OrderBody:
        cells = _cells(text)
        if len(cells) != len(names):
            raise ValueError(f"it has {len(cells)} cells, and the header {len(names)}")
        given: dict[str, Any] = {name: cell.strip() for name, cell in zip(names, cells, strict=True) if cell.strip()}
        given["address"] = {name: given.pop(name) for name in ADDRESS if name in given}
        given["lines"] = [_line(word) for word in given.get("lines", "").split()]
        for name in ("expected_total", "approval_limit_seconds"):
            given |= {name: _whole(given[name])} if name in given else {}
        if given.get("allow_partial") in ("true", "false"):
            given["allow_partial"] = given["allow_partial"] == "true"
        # As JSON it is read by the very rules of POST /orders.
        return _from_json(json.dumps(given))

    return parse


def _cells(text: str) -> list[str]:
    try:
        [cells] = csv.reader([text], strict=True)
    except csv.Error as error:
        raise ValueError(f"it is no CSV: {error}") from error
    return cells


def _line(word: str) -> dict[str, Any]:
    sku, _, quantity = word.rpartition(":")
    return {"sku": sku, "quantity": _whole(quantity)}


def _whole(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else text
