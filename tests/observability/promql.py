"""PromQL, read as far as the tests need: which series an expression rests on."""

import re
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""(?P<comment>\#[^\n]*)|(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`)"""
    r"""|(?P<number>\d[\w.]*)|(?P<name>[A-Za-z_:][\w:]*)|(?P<sign>[^\s])"""
)
_LISTS = {"by", "without", "on", "ignoring", "group_left", "group_right"}
"""Words before a list of labels."""
_WORDS = _LISTS | {"and", "or", "unless", "offset", "bool", "inf", "nan"}


@dataclass(frozen=True, slots=True)
class Selector:
    """What an expression selects."""

    metric: str
    text: str
    """With its matchers, as it stands in the expression."""


def selectors(expression: str) -> list[Selector]:
    """All selectors of an expression, each once, in their order."""
    tokens = [match for match in _TOKEN.finditer(expression) if match.lastgroup != "comment"]
    found: dict[str, Selector] = {}
    at = 0
    while at < len(tokens):
        token, at = tokens[at], at + 1
        if token.lastgroup != "name":
            continue
        word = token[0]
        following = tokens[at][0] if at < len(tokens) else ""
        if word in _LISTS:
            at = _after(tokens, at, "(", ")")
        elif word not in _WORDS and following != "(" and following not in _LISTS:
            at = _after(tokens, at, "{", "}")
            text = expression[token.start() : tokens[at - 1].end()]
            found[text] = Selector(word, text)
    return list(found.values())


def _after(tokens: list[re.Match[str]], at: int, opens: str, closes: str) -> int:
    """Position behind a bracketed list, where one begins here."""
    if at < len(tokens) and tokens[at][0] == opens:
        while tokens[at][0] != closes:
            at += 1
        return at + 1
    return at
