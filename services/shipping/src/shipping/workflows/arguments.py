"""What all workflows do about a caller that does not keep to the contract."""

from temporalio.exceptions import ApplicationError

INVALID_INPUT = "InvalidInput"
"""Type of the application error for an argument that is none; the same as for one that cannot be decoded."""

ARGUMENT_MISSING = [TypeError]
"""What Python raises for a workflow that was started without its argument: it fails, rather than hangs."""


def expect(argument: object, kind: type) -> None:
    """Refuse an argument that is not what the contract says, such as null, which decodes as any type.

    Raises:
        ApplicationError: ``InvalidInput``, not retryable.
    """
    if not isinstance(argument, kind):
        raise ApplicationError(f"the argument is no {kind.__name__}", type=INVALID_INPUT, non_retryable=True)
