import pytest

from chassis.settings import EXIT_WRONG_SETTINGS, load
from shipping.settings import Settings

GOOD = {
    "SHIPPING_DATABASE_URL": "postgresql://shipping@localhost/shipping",
    "SHIPPING_OPERATOR_TOKEN": "operator-token",
    "SHIPPING_CARRIERS_URL": "http://localhost:9000/carriers",
    "SHIPPING_WEBHOOK_SECRET": "webhook-secret",
}


@pytest.fixture(autouse=True)
def good_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)


def test_four_variables_are_enough() -> None:
    settings = load(Settings)
    assert settings.port == 8004
    assert settings.carriers == ("swift", "steady", "budget")
    assert settings.quote_seconds == 3.0


def test_carriers_are_a_json_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHIPPING_CARRIERS", '["swift","own-van"]')
    assert load(Settings).carriers == ("swift", "own-van")


def test_secrets_are_not_shown() -> None:
    assert "webhook-secret" not in repr(load(Settings))


@pytest.mark.parametrize("name", GOOD)
def test_what_is_required_is_named_when_it_is_missing(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(name)
    with pytest.raises(SystemExit) as stop:
        load(Settings)
    assert stop.value.code == EXIT_WRONG_SETTINGS
    assert capsys.readouterr().err == f"{name}: is required\n"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SHIPPING_CARRIERS", "swift,steady"),
        ("SHIPPING_CARRIERS", "[]"),
        ("SHIPPING_CARRIERS", '["swift","swift"]'),
        ("SHIPPING_CARRIERS", '["../gateway"]'),
        ("SHIPPING_CARRIERS_URL", "localhost:9000"),
        ("SHIPPING_QUOTE_SECONDS", "0"),
        ("SHIPPING_QUOTE_SECONDS", "30"),
        ("SHIPPING_QUOTE_SECONDS", "soon"),
        ("SHIPPING_CARRIER_QUOTE_SECONDS", '{"swift": 0}'),
        ("SHIPPING_CARRIER_QUOTE_SECONDS", '{"../gateway": 1}'),
        ("SHIPPING_PROMISE_SECONDS", "0"),
        ("SHIPPING_WEBHOOK_SECRET", "short"),
        ("SHIPPING_PORT", "70000"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_the_variable_and_not_the_value(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as stop:
        load(Settings)
    said = capsys.readouterr().err
    assert stop.value.code == EXIT_WRONG_SETTINGS
    assert said.count("\n") == 1
    assert said.startswith(name)


def test_every_setting_is_documented() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []
