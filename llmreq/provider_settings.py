"""Which providers can be called, where and with which key (invariant 7: rows name, operators define)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from llmreq.errors import SettingsError


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """One provider. `why_not` says in one line what is missing when it is not `usable`.

    `base_url` has no trailing slash; as the vendors' own variables have it, it ends in /v1 for `openai` and
    `voyage`, and not for `anthropic`. `max_tokens_field`, `native_schema`: None leaves it to the wire format.
    """

    name: str
    api: str
    base_url: str | None
    api_key: str | None = field(default=None, repr=False)
    api_key_env: str | None = None
    usable: bool = True
    why_not: str | None = None
    max_tokens_field: str | None = None
    native_schema: bool | None = None


@dataclass(frozen=True, slots=True)
class _Known:
    """A provider that needs no configuration file."""

    api: str
    base_url: str | None
    base_url_env: str
    api_key_env: str | None


KNOWN: Mapping[str, _Known] = {
    "openai": _Known("openai", "https://api.openai.com/v1", "OPENAI_BASE_URL", "OPENAI_API_KEY"),
    "anthropic": _Known("anthropic", "https://api.anthropic.com", "ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY"),
    "voyage": _Known("voyage", "https://api.voyageai.com/v1", "VOYAGE_BASE_URL", "VOYAGE_API_KEY"),
    "local": _Known("openai", None, "LLMREQ_LOCAL_BASE_URL", None),
}

_KEYS: Mapping[str, type] = {
    "api": str,
    "base_url": str,
    "api_key_env": str,
    "max_tokens_field": str,
    "native_schema": bool,
}
_MAX_TOKENS_FIELDS = ("max_tokens", "max_completion_tokens")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_HEADER_SAFE = re.compile(r"[\x21-\x7e]+")


def read_providers(env: Mapping[str, str], tables: Any) -> Mapping[str, ProviderSettings]:
    """The known providers and those of the file's `[providers.NAME]` tables. Raises SettingsError."""
    if not isinstance(tables, Mapping):
        raise SettingsError("providers in the configuration file must be tables: [providers.NAME]")
    for name, table in tables.items():
        _check_table(name, table)
    return {
        name: _provider(name, tables.get(name, {}), env) for name in [*KNOWN, *(tables.keys() - KNOWN.keys())]
    }


def _provider(name: str, table: Mapping[str, Any], env: Mapping[str, str]) -> ProviderSettings:
    known = KNOWN.get(name)
    api: str = known.api if known else table["api"]
    base_url: str | None = table.get("base_url", known.base_url if known else None)
    source = f"base_url of [providers.{name}]"
    if known and env.get(known.base_url_env):
        base_url, source = env[known.base_url_env], known.base_url_env
    key_env: str | None = table.get("api_key_env", known.api_key_env if known else None)
    key = env.get(key_env, "") if key_env else ""
    why_not = _why_not(name, base_url, key_env, key)
    return ProviderSettings(
        name=name,
        api=api,
        base_url=_checked_url(source, base_url, api) if base_url else None,
        api_key=key if key and why_not is None else None,
        api_key_env=key_env,
        usable=why_not is None,
        why_not=why_not,
        max_tokens_field=table.get("max_tokens_field"),
        native_schema=table.get("native_schema"),
    )


def _why_not(name: str, base_url: str | None, key_env: str | None, key: str) -> str | None:
    if base_url is None:
        return f"{KNOWN[name].base_url_env} is not set (only {name}/rules works without)"
    if key_env and not key:
        return f"{key_env} is not set"
    if key and not _HEADER_SAFE.fullmatch(key):
        return f"{key_env} holds a character that no key has (a space, a line break, a letter beyond ASCII)"
    return None


def _checked_url(source: str, url: str, api: str) -> str:
    """The base URL without what callers append themselves."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable:
        raise SettingsError(f"{source} must be a URL that starts with http:// or https:// and names a host")
    if parts.username is not None or parts.query or parts.fragment:
        raise SettingsError(
            f"{source} must hold no user, password, query or fragment: keys go in their own variable"
        )
    plain = url.rstrip("/")
    return plain.removesuffix("/v1") if api == "anthropic" else plain


def _check_table(name: str, table: Any) -> None:
    where = f"[providers.{name}] in the configuration file"
    if not _NAME.fullmatch(name):
        raise SettingsError(f"{where}: a name is made of a-z, 0-9, _ and -")
    if not isinstance(table, Mapping):
        raise SettingsError(f"{where} must be a table")
    for key, value in table.items():
        if key not in _KEYS:
            hint = (
                "; keys stand in the environment: api_key_env names the variable" if key == "api_key" else ""
            )
            raise SettingsError(f"{where} has the unknown key {key!r}; known: {', '.join(_KEYS)}{hint}")
        if type(value) is not _KEYS[key] or value == "":
            raise SettingsError(
                f"{where}: {key} must be a {'true or false' if _KEYS[key] is bool else 'text'}"
            )
    _check_values(name, where, table)


def _check_values(name: str, where: str, table: Mapping[str, Any]) -> None:
    if name in KNOWN:
        if table.get("api", KNOWN[name].api) != KNOWN[name].api:
            raise SettingsError(
                f"{where}: the api of {name} is {KNOWN[name].api!r}; use another name for another api"
            )
    elif table.get("api") not in ("openai", "anthropic"):
        raise SettingsError(f"{where}: api must be 'openai' or 'anthropic'")
    elif "base_url" not in table:
        raise SettingsError(f"{where}: base_url is missing")
    if table.get("max_tokens_field", "max_tokens") not in _MAX_TOKENS_FIELDS:
        raise SettingsError(f"{where}: max_tokens_field must be one of {', '.join(_MAX_TOKENS_FIELDS)}")
