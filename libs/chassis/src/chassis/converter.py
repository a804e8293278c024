"""The data converter of every client and worker: strict where the default one guesses.

The default converter turns ``1.9`` and ``True`` into ``1`` for an ``int`` field, and a payload that cannot be decoded
leaves a workflow retrying its task for ever. Here a value of the wrong type is refused, and the refusal is an
application error, which fails the workflow or the activity at once and says why.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

from temporalio.api.common.v1 import Payload
from temporalio.converter import (
    CompositePayloadConverter,
    DataConverter,
    DefaultPayloadConverter,
    JSONPlainPayloadConverter,
    JSONTypeConverter,
    JSONTypeConverterUnhandled,
)
from temporalio.exceptions import ApplicationError

INVALID_INPUT = "InvalidInput"
"""Type of the application error for a payload that does not fit."""

_PLAIN: tuple[type, ...] = (int, float, bool, str)


class _Strict(JSONTypeConverter):
    """Takes a whole number for an int, a truth value for a bool, a text for a str, and nothing else."""

    def to_typed_value(self, hint: type, value: Any) -> Any | JSONTypeConverterUnhandled | None:
        if hint not in _PLAIN:
            return JSONTypeConverter.Unhandled
        if hint is float and type(value) is int:
            return float(value)
        if type(value) is not hint:
            raise TypeError(f"expected {hint.__name__}, got {type(value).__name__}")
        return value


class StrictPayloadConverter(CompositePayloadConverter):
    """The default converters, with the strict reading of JSON."""

    def __init__(self) -> None:
        """Replace the JSON converter, keep the others in their order."""
        strict = JSONPlainPayloadConverter(custom_type_converters=[_Strict()])
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
            for value, hint in zip(values, type_hints or (), strict=False):
                if value is None and dataclasses.is_dataclass(hint):
                    raise TypeError(f"expected {hint.__name__}, got nothing")  # noqa: TRY301 - wrapped as the others are
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
