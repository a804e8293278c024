import pytest

from chassis.settings import load
from payments.settings import Settings

REQUIRED = {"PAYMENTS_DATABASE_URL": "postgresql://u:p@localhost/payments", "PAYMENTS_OPERATOR_TOKEN": "operator-token"}


def _set(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name, value in (REQUIRED | variables).items():
        monkeypatch.setenv(name, value)


def test_the_defaults_fit_a_laptop(monkeypatch: pytest.MonkeyPatch) -> None:
    _set(monkeypatch)
    settings = load(Settings)
    assert (settings.host, settings.port) == ("127.0.0.1", 8003)
    assert settings.gateway_url == "http://127.0.0.1:9000/gateway"
    assert (settings.gateway_rate, settings.gateway_seconds) == (100, 3)


@pytest.mark.parametrize("missing", REQUIRED)
def test_a_missing_variable_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], missing: str
) -> None:
    _set(monkeypatch, **{missing: ""})
    with pytest.raises(SystemExit) as stopped:
        load(Settings)
    assert stopped.value.code == 2
    assert capsys.readouterr().err == f"{missing}: is required\n"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PAYMENTS_GATEWAY_URL", "gateway:9000"),
        ("PAYMENTS_GATEWAY_RATE", "0"),
        ("PAYMENTS_GATEWAY_SECONDS", "30"),
        ("PAYMENTS_PORT", "http"),
        ("PAYMENTS_DATABASE_URL", "sqlite:///x"),
    ],
)
def test_a_wrong_value_stops_the_start_with_one_line_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str, value: str
) -> None:
    _set(monkeypatch, **{variable: value})
    with pytest.raises(SystemExit) as stopped:
        load(Settings)
    assert stopped.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{variable}: ")


def test_every_setting_of_our_own_says_what_it_is() -> None:
    own = set(Settings.__annotations__) - {"model_config"}
    assert own
    assert {name for name in own if not Settings.model_fields[name].description} == set()


def test_the_token_does_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    _set(monkeypatch)
    assert "operator-token" not in repr(load(Settings))
