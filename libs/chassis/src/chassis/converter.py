"""The data converter of every client and worker: strict where the default one guesses.

The default converter turns ``1.9`` and ``True`` into ``1`` for an ``int`` field, and a payload that cannot be decoded
leaves a workflow retrying its task for ever. Here a value of the wrong type is refused, and the refusal is an
application error, which fails a workflow at once and says why. (An activity's attempt fails with it as the cause.)
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, get_args, get_origin

from temporalio.api.common.v1 import Payload
from temporalio.converter import (
    CompositePayloadConverter,
    DataConverter,
    DefaultPayloadConverter,
    JSONPlainPayloadConverter,
    JSONTypeConverter,
    JSONTypeConverterUnhandled,
    value_to_type,
)
from temporalio.exceptions import ApplicationError

INVALID_INPUT = "InvalidInput"
"""Type of the application error for a payload that does not fit."""

_PLAIN: tuple[type, ...] = (int, float, bool, str)


class _Strict(JSONTypeConverter):
    """Takes a whole number for an int, a truth value for a bool, a text for a str, a list for a list: nothing else."""

    def to_typed_value(self, hint: type, value: Any) -> Any | JSONTypeConverterUnhandled | None:
        if hint not in _PLAIN:
            _refuse_guesses(hint, value)
            return JSONTypeConverter.Unhandled
        if hint is float and type(value) is int:
            return float(value)
        if type(value) is not hint:
            raise TypeError(f"expected {hint.__name__}, got {type(value).__name__}")
        return value


def _refuse_guesses(hint: type, value: Any) -> None:
    """Refuse what temporalio would take for an enum of numbers or for a collection."""
    kind = get_origin(hint) or hint
    if not isinstance(kind, type):
        return
    if issubclass(kind, Enum):
        if issubclass(kind, int) and type(value) is not int:
            raise TypeError(f"expected {kind.__name__}, got {type(value).__name__}")
    elif (
        issubclass(kind, Iterable)
        and not issubclass(kind, (Mapping, str, bytes))
        and not dataclasses.is_dataclass(kind)
    ):
        # A text is iterable, and would become the list of its letters.
        if not isinstance(value, list):
            raise TypeError(f"expected a list, got {type(value).__name__}")
        wanted = get_args(hint)
        if kind is tuple and wanted and wanted[-1] is not ... and len(value) != len(wanted):
            raise TypeError(f"expected {len(wanted)} items, got {len(value)}")


_STRICT = [_Strict()]


class StrictPayloadConverter(CompositePayloadConverter):
    """The default converters, with the strict reading of JSON."""

    def __init__(self) -> None:
        """Replace the JSON converter, keep the others in their order."""
        strict = JSONPlainPayloadConverter(custom_type_converters=_STRICT)
        super().__init__(
            *(
                strict if isinstance(converter, JSONPlainPayloadConverter) else converter
                for converter in DefaultPayloadConverter().converters.values()
            )
        )

    def from_payloads(self, payloads: Sequence[Payload], type_hints: list[type] | None = None) -> list[Any]:
        """Decode, or fail for good.

        Raises:
            ApplicationError: Of type ``InvalidInput``, not retryable, if a payload does not fit its type.
        """
        try:
            values = super().from_payloads(payloads, type_hints)
            for payload, value, hint in zip(payloads, values, type_hints or (), strict=False):
                # Null and raw bytes come without JSON, and temporalio does not hold them against the type.
                if payload.metadata["encoding"].startswith(b"binary/"):
                    value_to_type(hint, value, _STRICT)
        except Exception as error:
            raise ApplicationError(_reason(error), type=INVALID_INPUT, non_retryable=True) from error
        return values


def _reason(error: BaseException) -> str:
    """The chain of what went wrong, outermost first, without repeats."""
    said: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        text = str(cause)
        if text and text not in said:
            said.append(text)
        cause = cause.__cause__
    return ": ".join(said) or type(error).__name__


DATA_CONVERTER = dataclasses.replace(DataConverter.default, payload_converter_class=StrictPayloadConverter)
"""What every client of ours is connected with."""
