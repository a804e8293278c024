"""All of our own rules."""

from collections.abc import Callable, Iterator

from . import rules_compose, rules_names, rules_network, rules_pods, rules_scaling
from .pods import Finding
from .rendering import Rendered

Rule = Callable[[Rendered], Iterator[Finding]]

RULES: tuple[Rule, ...] = (
    *rules_pods.RULES,
    *rules_names.RULES,
    *rules_scaling.RULES,
    *rules_network.RULES,
    *rules_compose.RULES,
)


def findings(rendered: Rendered) -> list[Finding]:
    """Everything that is not as it should be, each thing once."""
    return list(dict.fromkeys(finding for rule in RULES for finding in rule(rendered)))
