import sqlite3
from pathlib import Path

import pytest

from sandbox.__main__ import main
from sandbox.settings import Settings


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDBOX_OPERATOR_TOKEN", "operators!")


def test_the_token_is_all_it_needs_and_stays_secret() -> None:
    settings = Settings()  # type: ignore[call-arg] # the environment names it
    assert (settings.host, settings.port, settings.database) == ("127.0.0.1", 9000, ":memory:")
    assert (settings.hang_seconds, settings.slow_seconds, settings.delivery_seconds) == (20, 15, 3)
    assert "operators!" not in repr(settings)


def test_an_empty_webhook_url_means_that_nobody_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDBOX_WEBHOOK_URL", "")
    assert Settings().webhook_url is None  # type: ignore[call-arg] # the environment names it


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("SANDBOX_OPERATOR_TOKEN", "", "SANDBOX_OPERATOR_TOKEN"),
        ("SANDBOX_OPERATOR_TOKEN", "short", "SANDBOX_OPERATOR_TOKEN"),
        ("SANDBOX_PORT", "port", "SANDBOX_PORT"),
        ("SANDBOX_PORT", "65536", "SANDBOX_PORT"),
        ("SANDBOX_HANG_SECONDS", "-1", "SANDBOX_HANG_SECONDS"),
        ("SANDBOX_SLOW_SECONDS", "inf", "SANDBOX_SLOW_SECONDS"),
        ("SANDBOX_DELIVERY_SECONDS", "nan", "SANDBOX_DELIVERY_SECONDS"),
        ("SANDBOX_WEBHOOK_URL", "shipping", "SANDBOX_WEBHOOK_URL"),
        ("SANDBOX_WEBHOOK_URL", "http://127.0.0.1:1", "SANDBOX_WEBHOOK_SECRET"),
        ("SANDBOX_LOG_LEVEL", "LOUD", "SANDBOX_LOG_LEVEL"),
    ],
)
def test_a_wrong_setting_stops_the_start_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str, value: str, named: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert named in lines[0]


def test_a_database_that_cannot_be_used_stops_the_start_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    text, foreign = tmp_path / "text", tmp_path / "foreign.db"
    text.write_text("no database " * 1000)
    connection = sqlite3.connect(foreign)
    connection.execute("CREATE TABLE orders (id)")
    connection.close()
    for path in (text, foreign, tmp_path / "missing" / "world.db"):
        monkeypatch.setenv("SANDBOX_DATABASE", str(path))
        assert main() == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1
        assert lines[0].startswith("SANDBOX_DATABASE: ")
