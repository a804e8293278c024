"""What is said of a span: its name, how long it took, why it failed."""

from waybill.tracing.spans import Span

WORDS = {
    "RunWorkflow": "",
    "RunActivity": "",
    "StartWorkflow": "start",
    "StartChildWorkflow": "start",
    "StartUpdateWithStartWorkflow": "update",
    "StartWorkflowUpdate": "update",
    "StartActivity": "ask for",
    "SignalWorkflow": "signal",
    "SignalChildWorkflow": "signal",
    "SignalExternalWorkflow": "signal",
    "QueryWorkflow": "query",
    "ValidateUpdate": "validate",
    "HandleUpdate": "take update",
    "HandleSignal": "take signal",
    "HandleQuery": "answer",
}
"""For the verbs of Temporal's spans. What runs is named by itself."""
WRAPPERS = frozenset({"ActivityError", "ChildWorkflowError", "ApplicationError"})
"""Errors that only say that something below failed."""


def duration(nanoseconds: float) -> str:
    """As people say it, in nine columns at most."""
    seconds = nanoseconds / 1e9
    if 0 < seconds < 0.0001:
        return "<0.1 ms"
    if seconds < 0.0995:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.2f} s"
    if seconds < 7200:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} d"


def bare(span: Span) -> str:
    """A span's name without what stands beside it anyway: Temporal's verb, and the service's own name."""
    verb, _, rest = span.name.partition(":")
    if verb not in WORDS:
        return span.name
    return f"{WORDS[verb]} {rest.removeprefix(f'{span.service}.')}".strip()


def reason(span: Span) -> str | None:
    """Why something did not succeed, in a word: a refusal's type, or the status of an answer. None if it did."""
    thrown = next((event for event in span.events if event.name == "exception"), None)
    if not span.failed and thrown is None:
        return None
    said = span.message or (str(thrown.attributes.get("exception.message", "")) if thrown else "")
    words = [word.strip() for word in said.split(":")]
    named = [word for word in words if word and " " not in word and word not in WRAPPERS]
    if "http.response.status_code" in span.attributes:
        named.append(str(span.attributes["http.response.status_code"]))
    return named[0] if named else ""
