"""Settings from the environment, and a start that stops with one clear line for each wrong value."""

import logging
import os
import re
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn, TypeVar

from pydantic import AliasChoices, Field, SecretStr, StringConstraints, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

EXIT_WRONG_SETTINGS = 2
"""Exit code of a process whose environment is wrong. A supervisor need not try again before someone changes it."""

SECRETS_DIR = "WAYBILL_SECRETS_DIR"
"""Variable that names a directory of files, each called like a variable, in small letters, and with its value."""

HttpUrl = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/]+(/[^\s]*)?$")]
"""Base URL of something spoken to over HTTP."""

PostgresUrl = Annotated[
    str,
    StringConstraints(
        pattern=r"^postgresql(\+psycopg)?://([^\s@]*@)?(\[[^\s\]]+\]|[^\s:/@]*)(:[0-9]{1,5})?/[^\s/?]+(\?\S*)?$"
    ),
]
"""SQLAlchemy URL of a PostgreSQL database. It names the database."""


class WrongSettings(Exception):  # noqa: N818 - one line for a person, not an error of the program
    """What the environment says cannot be used. The text is one line that names the variable."""


class LogLevel(StrEnum):
    """How much is logged."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"

    @property
    def number(self) -> int:
        """The standard library's number for the level."""
        return logging.getLevelNamesMapping()[self.value]


def env(prefix: str) -> SettingsConfigDict:
    """Configuration of a settings class whose variables begin with a prefix.

    Args:
        prefix: Such as ``INVENTORY_``.
    """
    return SettingsConfigDict(
        env_prefix=prefix, env_ignore_empty=True, extra="ignore", frozen=True, use_attribute_docstrings=True
    )


class ServerSettings(BaseSettings):
    """What every program with an HTTP surface can be told."""

    model_config = SettingsConfigDict(use_attribute_docstrings=True)

    host: str = "127.0.0.1"
    """Address that the HTTP server binds. Containers set ``0.0.0.0``."""
    port: int = Field(ge=1, le=65535)
    """Port of the HTTP server."""
    log_level: LogLevel = LogLevel.INFO
    """DEBUG, INFO, WARNING or ERROR."""


class ServiceSettings(ServerSettings):
    """What every service can be told. Temporal's own variables are read by ``temporalio.envconfig``."""

    database_url: PostgresUrl = Field(repr=False)
    """The service's own database, ``postgresql://user:password@host:port/name``."""
    database_pool: int = Field(default=10, ge=1, le=100)
    """Connections that one process keeps to its database."""
    migrate_at_start: bool = True
    """Bring the database's schema up to date before work is taken. Safe with several replicas at once."""
    operator_token: SecretStr = Field(min_length=8)
    """Bearer token of the requests that only operators may make."""
    drain_seconds: int = Field(default=40, ge=1, le=3600)
    """How long activities in flight may take to finish after SIGTERM. Longer than the longest activity (30 s)."""
    activity_slots: int = Field(default=50, ge=1, le=1000)
    """Activities that one process runs at the same time. Half of the SDK's: they share the connections to a database,
    for which one that waits longer than 5 s fails."""
    workflow_slots: int = Field(default=100, ge=2, le=1000)
    """Workflow tasks that one process runs at the same time."""
    cached_workflows: int = Field(default=500, ge=0, le=10000)
    """Workflows whose state is kept in memory between tasks, of 50 to 115 KiB each. Half of the SDK's, for memory."""
    temporal_health_seconds: float = Field(default=5, gt=0, le=60)
    """Time-out of the question whether Temporal answers, asked by ``/readyz``."""


SettingsT = TypeVar("SettingsT", bound=BaseSettings)


def load(settings: type[SettingsT]) -> SettingsT:
    """Read settings from the environment, and what it leaves open from the files of ``SECRETS_DIR``, if that is set.

    A wrong value ends the process with ``EXIT_WRONG_SETTINGS`` after one line for each, on standard error, that names
    the variable; values are not shown, for they may be secrets.

    Args:
        settings: The class whose fields and prefix say which variables count.

    Returns:
        The validated settings.
    """
    directory = _secrets_directory()
    try:
        return settings(_secrets_dir=directory)
    except ValidationError as error:
        _refuse(settings, error, directory)
    except SettingsError as error:  # a list or table that is not JSON
        sys.stderr.write(f"{_variable(settings, _field_in(str(error)))}: is not valid JSON\n")
        raise SystemExit(EXIT_WRONG_SETTINGS) from error
    except OSError as error:
        sys.stderr.write(f"{SECRETS_DIR}: {error.filename}: {error.strerror}\n")
        raise SystemExit(EXIT_WRONG_SETTINGS) from error


def _secrets_directory() -> Path | None:
    named = os.environ.get(SECRETS_DIR)
    if not named:
        return None
    directory = Path(named)
    if not directory.is_dir():
        sys.stderr.write(f"{SECRETS_DIR}: {directory} is no directory\n")
        raise SystemExit(EXIT_WRONG_SETTINGS)
    return directory


def _refuse(settings: type[BaseSettings], error: ValidationError, directory: Path | None) -> NoReturn:
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        where = [str(part) for part in problem["loc"]]
        name = _variable(settings, where[0]) if where else "the settings"
        inside = "".join(f"[{part}]" for part in where[1:])
        said = " ".join(problem["msg"].removeprefix("Value error, ").split())
        what = _missing(name, directory) if problem["type"] == "missing" else said
        sys.stderr.write(f"{name}{inside}: {what}\n")
    raise SystemExit(EXIT_WRONG_SETTINGS)


def _missing(name: str, directory: Path | None) -> str:
    return "is required" + ("" if directory is None else f", and there is no file {directory / name.lower()}")


def _variable(settings: type[BaseSettings], field: str) -> str:
    """The environment variable behind a field."""
    info = settings.model_fields.get(field)
    if info is not None and isinstance(info.validation_alias, AliasChoices):
        return str(info.validation_alias.choices[0])
    if info is not None and isinstance(info.validation_alias, str):
        return info.validation_alias
    if info is None:  # pydantic names a field by its alias where it has one
        return field
    prefix = settings.model_config.get("env_prefix", "")
    return f"{prefix}{field}".upper()


def _field_in(message: str) -> str:
    found = re.search(r'field "(\w+)"', message)
    return found.group(1) if found else "a variable"
