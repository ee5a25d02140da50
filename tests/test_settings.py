from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from optimizer.errors import ConfigurationError
from optimizer.settings import Settings, load

SHIPPED = Path("config/optimizer.toml")


def test_flags_beat_environment_beats_file_beats_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "optimizer.toml"
    file.write_text('port = 1001\nhost = "::1"\nthreads = 3\n')
    monkeypatch.setenv("OPTIMIZER_PORT", "1002")
    monkeypatch.setenv("OPTIMIZER_THREADS", "4")
    loaded = load({"threads": 5, "host": None}, config_file=file)
    assert (loaded.port, loaded.host, loaded.threads) == (1002, "::1", 5)
    assert loaded.log_level == "info"


def test_a_misspelt_variable_stops_the_start_and_names_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPTIMIZER_DATABSE_URL", "sqlite://")
    with pytest.raises(ConfigurationError, match="OPTIMIZER_DATABASE_URL"):
        load()


def test_a_misspelt_name_in_the_file_stops_the_start(tmp_path: Path) -> None:
    file = tmp_path / "optimizer.toml"
    file.write_text("prot = 1\n")
    with pytest.raises(ConfigurationError, match="port"):
        load(config_file=file)


def test_a_value_that_does_not_fit_names_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPTIMIZER_PORT", "many")
    with pytest.raises(ConfigurationError, match="port"):
        load()


def test_the_shipped_file_lists_every_setting_with_its_default_and_help() -> None:
    text = SHIPPED.read_text(encoding="utf-8")
    shipped = tomllib.loads(text)
    assert list(shipped) == list(Settings.model_fields)
    for name, field in Settings.model_fields.items():
        assert f"# {field.description}\n{name} = " in text
        expected = "" if field.default is None else field.default
        assert shipped[name] == (str(expected) if isinstance(expected, Path) else expected)
    assert load(config_file=SHIPPED) == load(config_file=Path("/nonexistent.toml"))


def test_secrets_never_show_in_the_settings_text() -> None:
    assert "a very secret key" not in repr(
        Settings(secret_key="a very secret key", bootstrap_key="a very secret key")
    )
