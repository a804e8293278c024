import logging
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field, SecretStr, StringConstraints, field_validator, model_validator

from chassis.settings import HttpUrl, LogLevel, ServiceSettings, env, load

RIGHT = {
    "DEMO_PORT": "8100",
    "DEMO_DATABASE_URL": "postgresql://me:pass-word@db/demo",
    "DEMO_OPERATOR_TOKEN": "to-ken-42",
}


class Demo(ServiceSettings):
    model_config = env("DEMO_")

    peer_url: HttpUrl = "http://127.0.0.1:1"
    names: tuple[Annotated[str, StringConstraints(pattern="^[a-z]+$")], ...] = ("a",)
    limits: dict[str, Annotated[int, Field(ge=0)]] = Field(default={})
    key: SecretStr = Field(default=SecretStr("unset-key"), min_length=8)
    even: int = 2
    elsewhere: int = Field(default=1, ge=1, validation_alias="OTHER_NAME")

    @field_validator("even")
    @classmethod
    def _even(cls, even: int) -> int:
        if even % 2:
            raise ValueError("is odd,\nand may not be")
        return even

    @model_validator(mode="after")
    def _fits(self) -> "Demo":
        if self.even > self.drain_seconds:
            raise ValueError("DEMO_EVEN is more than DEMO_DRAIN_SECONDS")
        return self


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in RIGHT.items():
        monkeypatch.setenv(name, value)


def refused(capsys: pytest.CaptureFixture[str]) -> list[str]:
    with pytest.raises(SystemExit) as stopped:
        load(Demo)
    assert stopped.value.code == 2
    return capsys.readouterr().err.splitlines()


def test_right_values_are_read_and_empty_ones_are_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMO_NAMES", '["x", "y"]')
    monkeypatch.setenv("DEMO_LIMITS", '{"EUR": 5}')
    monkeypatch.setenv("DEMO_LOG_LEVEL", "")
    monkeypatch.setenv("DEMO_UNHEARD_OF", "is no business of ours")
    monkeypatch.setenv("OTHER_NAME", "7")
    settings = load(Demo)
    assert (settings.port, settings.names, settings.limits, settings.elsewhere) == (8100, ("x", "y"), {"EUR": 5}, 7)
    assert settings.log_level is LogLevel.INFO
    assert settings.log_level.number == logging.INFO
    assert settings.operator_token.get_secret_value() == "to-ken-42"


def test_secrets_do_not_show() -> None:
    shown = repr(load(Demo))
    assert not [secret for secret in ("to-ken-42", "pass-word") if secret in shown]
    assert str(load(Demo)).count("to-ken-42") == 0


@pytest.mark.parametrize(
    ("variable", "value", "line"),
    [
        ("DEMO_PORT", "eighty", "DEMO_PORT: Input should be a valid integer"),
        ("DEMO_PORT", "0", "DEMO_PORT: Input should be greater than or equal to 1"),
        ("DEMO_PORT", "65536", "DEMO_PORT: Input should be less than or equal to 65535"),
        ("DEMO_LOG_LEVEL", "LOUD", "DEMO_LOG_LEVEL: Input should be 'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
        ("DEMO_MIGRATE_AT_START", "perhaps", "DEMO_MIGRATE_AT_START: Input should be a valid boolean"),
        ("DEMO_OPERATOR_TOKEN", "2-short", "DEMO_OPERATOR_TOKEN: Value should have at least 8 items"),
        ("DEMO_OPERATOR_TOKEN", "", "DEMO_OPERATOR_TOKEN: is required"),
        ("DEMO_KEY", "2-short", "DEMO_KEY: Value should have at least 8 items"),
        ("DEMO_DATABASE_URL", "mysql://me:2-short@db/demo", "DEMO_DATABASE_URL: String should match pattern"),
        ("DEMO_DATABASE_URL", "postgresql://me:2-short@db:port/demo", "DEMO_DATABASE_URL: String should match pattern"),
        ("DEMO_DATABASE_URL", "postgresql://me:2-short@db", "DEMO_DATABASE_URL: String should match pattern"),
        ("DEMO_PEER_URL", "peer:80", "DEMO_PEER_URL: String should match pattern"),
        ("DEMO_NAMES", "x,y", "DEMO_NAMES: is not valid JSON"),
        ("DEMO_NAMES", '["x", "Y"]', "DEMO_NAMES[1]: String should match pattern"),
        ("DEMO_LIMITS", '{"EUR": "2-short"}', "DEMO_LIMITS[EUR]: Input should be a valid integer"),
        ("DEMO_EVEN", "3", "DEMO_EVEN: is odd, and may not be"),
        ("DEMO_EVEN", "400", "the settings: DEMO_EVEN is more than DEMO_DRAIN_SECONDS"),
        ("OTHER_NAME", "0", "OTHER_NAME: Input should be greater"),
    ],
)
def test_a_wrong_value_stops_the_start_with_one_line_that_names_the_variable_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str, value: str, line: str
) -> None:
    monkeypatch.setenv(variable, value)
    [said] = refused(capsys)
    assert said.startswith(line)
    assert "2-short" not in said


def test_each_wrong_value_has_its_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("DEMO_PORT", "eighty")
    monkeypatch.setenv("DEMO_DRAIN_SECONDS", "-1")
    monkeypatch.delenv("DEMO_DATABASE_URL")
    names = [line.partition(":")[0] for line in refused(capsys)]
    assert sorted(names) == ["DEMO_DATABASE_URL", "DEMO_DRAIN_SECONDS", "DEMO_PORT"]


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://db/demo",
        "postgresql+psycopg://me@db:5432/demo?sslmode=require",
        "postgresql://me:a%40b/c@[::1]:5432/demo",
        "postgresql://me:p@/demo?host=a:1&host=b:2",
    ],
)
def test_urls_of_databases_that_sqlalchemy_takes_are_taken(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    from sqlalchemy import make_url

    monkeypatch.setenv("DEMO_DATABASE_URL", url)
    assert make_url(load(Demo).database_url).database == "demo"


def test_what_the_environment_leaves_open_is_read_from_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DEMO_OPERATOR_TOKEN")
    monkeypatch.setenv("WAYBILL_SECRETS_DIR", str(tmp_path))
    (tmp_path / "demo_operator_token").write_text("from-a-file\n")
    (tmp_path / "demo_database_url").write_text("postgresql://the/files")
    (tmp_path / "of_somebody_else").write_text("is no business of ours")
    settings = load(Demo)
    assert settings.operator_token.get_secret_value() == "from-a-file"
    assert settings.database_url == RIGHT["DEMO_DATABASE_URL"]  # the environment's word is the last


def test_a_missing_file_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DEMO_OPERATOR_TOKEN")
    monkeypatch.setenv("WAYBILL_SECRETS_DIR", str(tmp_path))
    assert refused(capsys) == [f"DEMO_OPERATOR_TOKEN: is required, and there is no file {tmp_path}/demo_operator_token"]


def test_a_directory_of_secrets_that_is_none_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WAYBILL_SECRETS_DIR", str(tmp_path / "nowhere"))
    assert refused(capsys) == [f"WAYBILL_SECRETS_DIR: {tmp_path}/nowhere is no directory"]


def test_a_secret_that_may_not_be_read_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DEMO_OPERATOR_TOKEN")
    monkeypatch.setenv("WAYBILL_SECRETS_DIR", str(tmp_path))
    # Root may read everything, so that a mode would not do.
    (tmp_path / "demo_operator_token").symlink_to(tmp_path / "demo_operator_token")
    assert refused(capsys)[-1].startswith(("WAYBILL_SECRETS_DIR", "DEMO_OPERATOR_TOKEN"))
