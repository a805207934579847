"""Settings: environment over file over default, each mistake in one line, no key ever shown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from llmreq.errors import SettingsError
from llmreq.settings import NUMBERS, Settings, load_settings

SECRET = "sk-Xq7-secret"


def settings(folder: Path, toml: str = "", **environ: str) -> Settings:
    if toml:
        (folder / "llmreq.toml").write_text(toml)
    return load_settings(environ, folder)


def test_a_fresh_machine_has_the_defaults_of_the_contract(tmp_path: Path) -> None:
    found = settings(tmp_path)
    assert found.database_url is None
    assert (found.poll_ms, found.batch_size, found.concurrency, found.retention_days) == (100, 50, 256, 90)
    assert (found.heartbeat_seconds, found.lease_seconds, found.flush_ms, found.drain_seconds) == (
        3,
        15,
        20,
        30,
    )
    assert {name: provider.why_not for name, provider in found.providers.items()} == {
        "openai": "OPENAI_API_KEY is not set",
        "anthropic": "ANTHROPIC_API_KEY is not set",
        "voyage": "VOYAGE_API_KEY is not set",
        "local": "LLMREQ_LOCAL_BASE_URL is not set (only local/rules works without)",
    }


def test_the_environment_wins_over_the_file_and_the_file_over_the_default(tmp_path: Path) -> None:
    found = settings(tmp_path, "poll_ms = 7\nbatch_size = 8", LLMREQ_POLL_MS=" 5 ", LLMREQ_BATCH_SIZE="")
    assert (found.poll_ms, found.batch_size, found.concurrency) == (5, 8, 256)


def test_the_file_may_be_named(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text("poll_ms = 9")
    assert settings(tmp_path, "poll_ms = 7", LLMREQ_CONFIG=str(tmp_path / "other.toml")).poll_ms == 9


def test_a_data_folder_is_absolute_and_may_come_from_either_place(tmp_path: Path) -> None:
    assert settings(tmp_path, "data_dir = '/from/file'").data_dir == Path("/from/file")
    assert settings(tmp_path, "data_dir = '/from/file'", LLMREQ_DATA_DIR="/env").data_dir == Path("/env")
    for odd in ("relative", "~nobody-has-this-name/x"):
        assert settings(tmp_path, f"data_dir = '{odd}'").data_dir.is_absolute()


def test_the_vendors_own_variables_make_their_providers_usable(tmp_path: Path) -> None:
    found = settings(
        tmp_path,
        OPENAI_API_KEY=f"{SECRET}\n",
        ANTHROPIC_API_KEY=SECRET,
        ANTHROPIC_BASE_URL="http://127.0.0.1:8080/v1/",
        LLMREQ_LOCAL_BASE_URL="http://localhost:11434/v1/",
    ).providers
    assert [name for name in found if found[name].usable] == ["openai", "anthropic", "local"]
    assert (found["openai"].base_url, found["openai"].api_key) == ("https://api.openai.com/v1", SECRET)
    assert found["anthropic"].base_url == "http://127.0.0.1:8080"
    assert (found["local"].base_url, found["local"].api_key) == ("http://localhost:11434/v1", None)


def test_a_base_url_without_its_key_is_unusable_even_on_loopback(tmp_path: Path) -> None:
    provider = settings(tmp_path, OPENAI_BASE_URL="http://127.0.0.1:1/v1").providers["openai"]
    assert (provider.usable, provider.why_not) == (False, "OPENAI_API_KEY is not set")
    assert provider.base_url == "http://127.0.0.1:1/v1"


def test_the_file_defines_further_providers_and_amends_the_known_ones(tmp_path: Path) -> None:
    toml = """
        [providers.groq]
        api = "openai"
        base_url = "https://api.groq.com/openai/v1"
        api_key_env = "GROQ_API_KEY"
        max_tokens_field = "max_tokens"
        native_schema = false

        [providers.inhouse]
        api = "anthropic"
        base_url = "https://llm.example.com/v1"

        [providers.openai]
        base_url = "https://eu.api.openai.com/v1"
        api_key_env = "EU_KEY"
    """
    found = settings(tmp_path, toml, EU_KEY=SECRET, OPENAI_API_KEY="other").providers
    assert found["groq"].why_not == "GROQ_API_KEY is not set"
    assert (found["groq"].max_tokens_field, found["groq"].native_schema) == ("max_tokens", False)
    assert (found["inhouse"].usable, found["inhouse"].base_url) == (True, "https://llm.example.com")
    assert (found["openai"].api_key, found["openai"].base_url) == (SECRET, "https://eu.api.openai.com/v1")


def test_no_key_and_no_password_is_ever_shown(tmp_path: Path) -> None:
    found = settings(tmp_path, OPENAI_API_KEY=SECRET, LLMREQ_DATABASE_URL=f"postgresql://me:{SECRET}@host/db")
    assert SECRET not in f"{found} {found!r} {found.providers['openai']} {found.providers!r}"


def test_a_key_that_no_header_can_carry_is_named_and_not_kept(tmp_path: Path) -> None:
    provider = settings(tmp_path, OPENAI_API_KEY=f"{SECRET} and more").providers["openai"]
    assert provider.why_not is not None
    assert provider.why_not.startswith("OPENAI_API_KEY holds a character")
    assert provider.api_key is None


@pytest.mark.parametrize(
    ("toml", "environ", "told"),
    [
        ("pol_ms = 1", {}, "unknown key 'pol_ms'"),
        ("poll_ms = true", {}, "poll_ms in the configuration file must be a whole number from 1 to 60000"),
        ("poll_ms = 1.5", {}, "poll_ms in"),
        ("", {"LLMREQ_POLL_MS": "fast"}, "LLMREQ_POLL_MS must be a whole number from 1 to 60000, not 'fast'"),
        ("", {"LLMREQ_POLL_MS": "0"}, "LLMREQ_POLL_MS"),
        ("", {"LLMREQ_CONCURRENCY": "9" * 5000}, "LLMREQ_CONCURRENCY"),
        ("", {"LLMREQ_POLL_MS": "²"}, "LLMREQ_POLL_MS"),
        ("", {"LLMREQ_LEASE_SECONDS": "8"}, "at least 3 × heartbeat_seconds"),
        ("poll_ms = ", {}, "llmreq.toml is not TOML"),
        (
            "",
            {"LLMREQ_CONFIG": "/nowhere/llmreq.toml"},
            "cannot read the configuration file /nowhere/llmreq.toml",
        ),
        ("", {"LLMREQ_CONFIG": "/"}, "cannot read"),
        (
            "",
            {"LLMREQ_DATABASE_URL": f"mysql://me:{SECRET}@host/db"},
            "LLMREQ_DATABASE_URL must be a URL like",
        ),
        ("", {"LLMREQ_DATABASE_URL": SECRET}, "LLMREQ_DATABASE_URL"),
        ("database_url = 5", {}, "database_url in the configuration file"),
        ("data_dir = 5", {}, "data_dir"),
        ("", {"OPENAI_BASE_URL": "ftp://host"}, "OPENAI_BASE_URL must be a URL that starts with"),
        ("", {"OPENAI_BASE_URL": f"https://me:{SECRET}@host/v1"}, "OPENAI_BASE_URL must hold no user"),
        ("", {"OPENAI_BASE_URL": f"https://host:{SECRET}/v1"}, "OPENAI_BASE_URL"),
        ("", {"ANTHROPIC_BASE_URL": f"https://host?key={SECRET}"}, "ANTHROPIC_BASE_URL"),
        ("providers = 5", {}, "must be tables"),
        ("[providers]\nx = 5", {}, r"\[providers.x\] in the configuration file must be a table"),
        ("[providers.'a/b']\napi = 'openai'", {}, "a name is made of"),
        ("[providers.x]\nbase_url = 'https://h'", {}, "api must be 'openai' or 'anthropic'"),
        ("[providers.x]\napi = 'openai'", {}, "base_url is missing"),
        ("[providers.x]\napi = 'openai'\nbase_url = 'h'", {}, r"base_url of \[providers.x\] must be a URL"),
        ("[providers.openai]\napi = 'anthropic'", {}, "the api of openai is 'openai'"),
        (
            f"[providers.openai]\napi_key = '{SECRET}'",
            {},
            "unknown key 'api_key'.*api_key_env names the variable",
        ),
        ("[providers.openai]\nnative_schema = 1", {}, "native_schema must be a true or false"),
        ("[providers.openai]\nmax_tokens_field = 'x'", {}, "max_tokens_field must be one of"),
    ],
)
def test_a_mistake_is_one_line_that_names_its_place(
    tmp_path: Path, toml: str, environ: Mapping[str, str], told: str
) -> None:
    with pytest.raises(SettingsError, match=told) as caught:
        settings(tmp_path, toml, **environ)
    assert "\n" not in str(caught.value)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert len(str(caught.value)) < 400


def test_every_number_takes_its_bounds_and_nothing_beyond(tmp_path: Path) -> None:
    for name, bounds in NUMBERS.items():
        # The lease must stay above three heartbeats whichever of the two is tried.
        beside = (
            {"LLMREQ_LEASE_SECONDS": "3600"}
            if name == "heartbeat_seconds"
            else {"LLMREQ_HEARTBEAT_SECONDS": "1"}
        )
        for value in (bounds.low, bounds.high):
            assert (
                getattr(settings(tmp_path, **beside | {f"LLMREQ_{name.upper()}": str(value)}), name) == value
            )
        for value in (bounds.low - 1, bounds.high + 1):
            with pytest.raises(SettingsError, match=f"LLMREQ_{name.upper()}"):
                settings(tmp_path, **beside | {f"LLMREQ_{name.upper()}": str(value)})
