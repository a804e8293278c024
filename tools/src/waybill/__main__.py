"""``waybill`` and ``python -m waybill``."""

import traceback
from typing import NoReturn

from chassis.entry import exit_now


def main() -> NoReturn:
    """Run the command, and leave without the interpreter's own finalisation, which can abort."""
    code = 1
    try:
        # Imported here, so that an import that fails ends the same way.
        from waybill.cli import app  # noqa: PLC0415

        app()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:  # noqa: BLE001 - shown, and the process ends with 1
        traceback.print_exc()
    exit_now(code)


if __name__ == "__main__":
    main()
