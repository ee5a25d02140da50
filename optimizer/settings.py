"""The only reader of environment variables and of the TOML file.

Flags beat environment beats ``config/optimizer.toml`` beats defaults. A misspelt setting stops the start and
names the nearest valid one, because a setting that is silently ignored is found only after the damage.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from optimizer.errors import ConfigurationError

PREFIX = "OPTIMIZER_"
CLIENT_VARIABLES = {"url", "key"}  # OPTIMIZER_URL and OPTIMIZER_KEY are of those who talk to a service
CONFIG_FILE = Path("config/optimizer.toml")
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


class Settings(BaseSettings):
    """Every setting, its default and one line of help (`config/optimizer.toml` is made from this)."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, env_ignore_empty=True)

    data_dir: Path = Field(Path("optimizer-data"), description="Folder for the embedded stores and the secret key.")
    database_url: str = Field("", description="Control plane; empty means SQLite in the data folder.")
    events_url: str = Field("", description="Event store; empty means DuckDB in the data folder.")
    bootstrap_key: SecretStr | None = Field(
        None, description="Admin key of the first project, for unattended set-up (16 characters or more)."
    )
    secret_key: SecretStr | None = Field(
        None, description="Encrypts credentials and contacts; generated into the data folder if unset."
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    threads: int = Field(32, ge=1, le=512, description="Requests served at the same time.")
    queue_events: int = Field(50_000, ge=1, description="Events that may wait for the disk before answers turn 503.")
    commit_timeout_seconds: float = Field(30.0, gt=0, description="How long a request waits for the disk.")
    duckdb_memory_mb: int = Field(
        0, ge=0, description="Memory the embedded event store may use, in MB; 0 means 80% of the machine."
    )
    allow_private_urls: bool = Field(
        default=False, description="Allow destinations on private addresses (staging, sandboxes)."
    )
    proxies: int = Field(
        0, ge=0, le=10, description="Reverse proxies in front, whose X-Forwarded-For and -Proto are believed."
    )
    scheduler: bool = Field(default=True, description="Run scheduled jobs in this process.")
    log_level: str = Field(
        "info", pattern="^(debug|info|warning|error)$", description="debug, info, warning or error."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags, then environment; the file comes in through `load` as the weakest source."""
        del settings_cls, dotenv_settings, file_secret_settings
        return init_settings, env_settings

    @property
    def control_url(self) -> str:
        """SQLAlchemy URL of the control plane."""
        return self.database_url or f"sqlite:///{self.data_dir.resolve() / 'control.sqlite'}"

    @property
    def event_store_url(self) -> str:
        """URL of the event store."""
        return self.events_url or f"duckdb:///{self.data_dir.resolve() / 'events.duckdb'}"

    @property
    def listens_on_loopback(self) -> bool:
        """Whether only this machine can reach the service; destinations may then point at this machine."""
        return self.host in LOOPBACK_HOSTS


def load(flags: Mapping[str, Any] | None = None, *, config_file: Path | None = None) -> Settings:
    """Read flags, environment and file into one frozen object.

    Args:
        flags: Settings given on the command line; ``None`` values count as not given.
        config_file: TOML file; by default ``config/optimizer.toml`` under the current folder, if there.

    Raises:
        ConfigurationError: A name is unknown or a value does not fit; says which and what would.
    """
    path = config_file or CONFIG_FILE
    from_file = _read_file(path) if path.exists() else {}
    _refuse_unknown(from_file, f"in {path}")
    from_environment = {name[len(PREFIX) :].lower() for name in os.environ if name.startswith(PREFIX)}
    from_environment -= CLIENT_VARIABLES
    _refuse_unknown(from_environment, "in the environment", prefix=PREFIX)
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    weakest = {name: value for name, value in from_file.items() if name not in from_environment | given.keys()}
    try:
        return Settings(**{**weakest, **given})
    except ValidationError as error:
        faults = "; ".join(f"{fault['loc'][0] if fault['loc'] else '?'}: {fault['msg']}" for fault in error.errors())
        raise ConfigurationError(f"A setting does not fit: {faults}.") from None


def _read_file(path: Path) -> dict[str, Any]:
    try:
        return {k: v for k, v in tomllib.loads(path.read_text(encoding="utf-8")).items() if v != ""}
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}.") from None


def _refuse_unknown(names: Mapping[str, Any] | set[str], where: str, prefix: str = "") -> None:
    for name in sorted(set(names) - Settings.model_fields.keys()):
        spelled = f"{prefix}{name.upper()}" if prefix else name
        near = difflib.get_close_matches(name, Settings.model_fields, n=1)
        shown = [f"{prefix}{match.upper()}" if prefix else match for match in near]
        hint = f" Did you mean {shown[0]}?" if shown else f" Valid are: {', '.join(sorted(Settings.model_fields))}."
        raise ConfigurationError(f"Unknown setting {spelled} {where}.{hint}")
