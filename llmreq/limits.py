"""Every bound of the program in one place, with its unit and its reason.

Nothing in llmreq grows without one of these. Bounds that operators set live in `settings.py`.
"""

from __future__ import annotations

# --- answers ------------------------------------------------------------------------------------------------
MAX_ANSWER_BYTES = 32 * 1024 * 1024
"""A response body past this is dropped while it is read: the largest answer any vendor sends is below 8 MB."""

INLINE_CHECK_BYTES = 64 * 1024
"""Answers above this are decoded and validated off the event loop: 64 KB takes about 0.3 ms, 5 MB takes 30."""

MAX_JSON_DEPTH = 512
"""Nesting above this is refused as malformed: deeper values break consumers' parsers, not only ours."""

RESPONSE_PREVIEW_CHARS = 100
"""How much of a bad answer `validation_errors` repeats (the whole answer is in `response`)."""

MAX_VALIDATION_ERRORS = 100
"""Errors kept per answer: an array of 10,000 wrong items says nothing more than its first hundred."""

MAX_ERROR_BODY_CHARS = 500
"""How much of a provider's error page goes to `error_details`."""

MAX_SCHEMA_BYTES = 1024 * 1024
"""A JSON Schema above this is refused: providers refuse far smaller ones."""

COMPILED_SCHEMAS_KEPT = 1024
"""Compiled validators kept in memory, least recently used first out; about 20 KB each."""

# --- calls --------------------------------------------------------------------------------------------------
CONNECT_TIMEOUT_SECONDS = 5.0
"""TCP and TLS must stand by then; the vendors' own clients use the same."""

MAX_RETRY_AFTER_SECONDS = 3600.0
"""A provider that asks for more is asked again after an hour."""

DEFAULT_MAX_OUTPUT_TOKENS = 4096
"""Sent when a row names none: Anthropic requires a cap, and a hold needs one everywhere."""

LARGEST_OUTPUT_TOKENS = 64_000
"""A truncated answer is retried with a doubled cap, never above this."""

# --- the database -------------------------------------------------------------------------------------------
DATABASE_CONNECT_SECONDS = 5
"""Postgres must accept a connection by then; a worker that waits longer only delays its own back-off."""

DATABASE_START_SECONDS = 60.0
"""The embedded server must answer by then: 1 s as a rule, longer only when a crash left much to replay."""

DATABASE_STOP_SECONDS = 30.0
"""A fast shutdown ends by then: it rolls back and writes one checkpoint."""

SERVER_LOG_BYTES = 10 * 1024 * 1024
"""The embedded server's log past this is set aside at the next start; one older log is kept."""
