"""What an operator sets: from the environment, else from a TOML file, else the default.

Everything is validated once, here. Wrong settings end in one line that names the variable or key; values that
may hold a secret are never repeated.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import platformdirs

from llmreq.errors import SettingsError
from llmreq.provider_settings import ProviderSettings, read_providers

DEFAULT_CONFIG = "llmreq.toml"
DATABASE_SCHEMES = ("postgresql", "postgres", "postgresql+psycopg")


@dataclass(frozen=True, slots=True)
class Bounds:
    """A number's default and its smallest and largest value, in the unit of its name."""

    default: int
    low: int
    high: int


NUMBERS: Mapping[str, Bounds] = {
    "poll_ms": Bounds(100, 1, 60_000),
    "batch_size": Bounds(50, 1, 1_000),
    "concurrency": Bounds(256, 1, 20_000),
    "retention_days": Bounds(90, 1, 36_500),
    "heartbeat_seconds": Bounds(3, 1, 600),
    "lease_seconds": Bounds(15, 3, 3_600),
    "flush_ms": Bounds(20, 1, 1_000),
    "drain_seconds": Bounds(30, 0, 86_400),
}


@dataclass(frozen=True, slots=True)
class Settings:
    """One process's settings; made by `load_settings`, or directly in tests.

    `database_url`: None means the embedded Postgres. `poll_ms`: how often a worker looks for work.
    `batch_size`: rows per claim. `concurrency`: calls in flight per process. A worker beats every
    `heartbeat_seconds` and is taken for dead after `lease_seconds` without. `flush_ms`: how long finished
    calls are gathered into one settlement. `drain_seconds`: how long a stopping worker waits for its calls.
    """

    database_url: str | None = field(default=None, repr=False)
    data_dir: Path = field(default_factory=lambda: default_data_dir())
    poll_ms: int = NUMBERS["poll_ms"].default
    batch_size: int = NUMBERS["batch_size"].default
    concurrency: int = NUMBERS["concurrency"].default
    retention_days: int = NUMBERS["retention_days"].default
    heartbeat_seconds: int = NUMBERS["heartbeat_seconds"].default
    lease_seconds: int = NUMBERS["lease_seconds"].default
    flush_ms: int = NUMBERS["flush_ms"].default
    drain_seconds: int = NUMBERS["drain_seconds"].default
    providers: Mapping[str, ProviderSettings] = field(default_factory=lambda: read_providers({}, {}))


def load_settings(environ: Mapping[str, str] | None = None, folder: Path | None = None) -> Settings:
    """Read `environ` (default: the process's) and the file LLMREQ_CONFIG, else `llmreq.toml` in `folder`.

    Raises SettingsError.
    """
    env = {name: value.strip() for name, value in (os.environ if environ is None else environ).items()}
    config = _read_config(env, folder or Path())
    known = {"database_url", "data_dir", "providers", *NUMBERS}
    if unknown := sorted(set(config) - known):
        raise SettingsError(
            f"unknown key {unknown[0]!r} in the configuration file; known: {', '.join(sorted(known))}"
        )
    numbers = {name: _number(name, bounds, env, config) for name, bounds in NUMBERS.items()}
    if numbers["lease_seconds"] < 3 * numbers["heartbeat_seconds"]:
        raise SettingsError(
            "lease_seconds must be at least 3 × heartbeat_seconds: one late heartbeat is no death"
        )
    return Settings(
        database_url=_database_url(env, config),
        data_dir=_data_dir(env, config),
        providers=read_providers(env, config.get("providers", {})),
        **numbers,
    )


def default_data_dir(environ: Mapping[str, str] | None = None) -> Path:
    """LLMREQ_DATA_DIR, else the user's data folder; root's is one that the server's user can enter."""
    given = (os.environ if environ is None else environ).get("LLMREQ_DATA_DIR", "").strip()
    if given:
        return _path(given)
    if os.geteuid() == 0:
        return Path("/var/lib/llmreq")
    found = platformdirs.user_data_path("llmreq")
    # A user without a home, as containers have them, gets a literal ~.
    return found if found.is_absolute() else _path(".llmreq")


def _read_config(env: Mapping[str, str], folder: Path) -> dict[str, Any]:
    given = env.get("LLMREQ_CONFIG")
    path = _path(given) if given else folder / DEFAULT_CONFIG
    if not given and not path.exists():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"cannot read the configuration file {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"the configuration file {path} is not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        # Its message names the place and repeats at most one character.
        raise SettingsError(f"the configuration file {path} is not TOML: {error}") from None


def _number(name: str, bounds: Bounds, env: Mapping[str, str], config: Mapping[str, Any]) -> int:
    variable = f"LLMREQ_{name.upper()}"
    given: Any = config.get(name, bounds.default)
    source = f"{name} in the configuration file"
    if env.get(variable):
        given, source = env[variable], variable
        if given.isascii() and given.removeprefix("-").isdigit() and len(given) < 20:
            given = int(given)
    if type(given) is not int or not bounds.low <= given <= bounds.high:
        raise SettingsError(
            f"{source} must be a whole number from {bounds.low} to {bounds.high}, not {given!r:.40}"
        )
    return given


def _database_url(env: Mapping[str, str], config: Mapping[str, Any]) -> str | None:
    source, url = "database_url in the configuration file", config.get("database_url")
    if env.get("LLMREQ_DATABASE_URL"):
        source, url = "LLMREQ_DATABASE_URL", env["LLMREQ_DATABASE_URL"]
    if url is None or url == "":
        return None
    if not isinstance(url, str) or url.partition("://")[0] not in DATABASE_SCHEMES or "://" not in url:
        raise SettingsError(f"{source} must be a URL like postgresql://user:password@host:5432/database")
    return url


def _data_dir(env: Mapping[str, str], config: Mapping[str, Any]) -> Path:
    given = config.get("data_dir")
    if given is None or env.get("LLMREQ_DATA_DIR"):
        return default_data_dir(env)
    if not isinstance(given, str) or not given:
        raise SettingsError("data_dir in the configuration file must be the path of a folder")
    return _path(given)


def _path(given: str) -> Path:
    try:
        return Path(given).expanduser().absolute()
    except RuntimeError:
        return Path(given).absolute()  # ~ of a user without a home
