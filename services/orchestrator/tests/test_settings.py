"""The settings: defaults, and one clear line for each wrong value."""

import pytest

from chassis.settings import load
from orchestrator.settings import Settings

REQUIRED = {
    "ORCHESTRATOR_DATABASE_URL": "postgresql://u:p@localhost/orchestrator",
    "ORCHESTRATOR_OPERATOR_TOKEN": "operator-token",
    "ORCHESTRATOR_MAILBOX_URL": "http://127.0.0.1:9000/mailbox",
}


@pytest.fixture
def required(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in REQUIRED.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_the_defaults_fit_a_laptop(required: pytest.MonkeyPatch) -> None:
    settings = load(Settings)
    assert (settings.host, settings.port) == ("127.0.0.1", 8001)
    assert settings.approval_limit_seconds == 24 * 3600
    assert settings.approval_thresholds["EUR"] == 100_000


def test_the_drain_is_longer_than_the_longest_activity(required: pytest.MonkeyPatch) -> None:
    assert load(Settings).drain_seconds > 30


@pytest.mark.parametrize("missing", REQUIRED)
def test_a_missing_variable_stops_the_start(
    required: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], missing: str
) -> None:
    required.delenv(missing)
    with pytest.raises(SystemExit) as stopped:
        load(Settings)
    assert stopped.value.code == 2
    assert capsys.readouterr().err == f"{missing}: is required\n"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ORCHESTRATOR_MAILBOX_URL", "mailbox"),
        ("ORCHESTRATOR_APPROVAL_LIMIT_SECONDS", "0"),
        ("ORCHESTRATOR_APPROVAL_LIMIT_SECONDS", "86401"),
        ("ORCHESTRATOR_APPROVAL_THRESHOLDS", "{}"),
        ("ORCHESTRATOR_APPROVAL_THRESHOLDS", '{"euro": 1}'),
        ("ORCHESTRATOR_APPROVAL_THRESHOLDS", '{"EUR": -1}'),
        ("ORCHESTRATOR_APPROVAL_THRESHOLDS", "EUR=1"),
        ("ORCHESTRATOR_PORT", "0"),
        ("ORCHESTRATOR_REVIEW_SECONDS", "a month"),
    ],
)
def test_a_wrong_value_stops_the_start_with_one_line_that_names_the_variable(
    required: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str, value: str
) -> None:
    required.setenv(variable, value)
    with pytest.raises(SystemExit) as stopped:
        load(Settings)
    assert stopped.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(variable)


def test_every_setting_says_what_it_is() -> None:
    assert {name for name, field in Settings.model_fields.items() if not field.description} == set()
