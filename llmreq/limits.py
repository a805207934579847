"""Every bound of the program in one place, with its unit and its reason.

Nothing in llmreq grows without one of these. Bounds that operators set live in `settings.py`.
"""

from __future__ import annotations

# --- answers ------------------------------------------------------------------------------------------------
MAX_ANSWER_BYTES = 32 * 1024 * 1024
"""A response body past this is dropped while it is read: the largest answer any vendor sends is below 8 MB."""

INLINE_CHECK_CHARS = 64 * 1024
"""Answers above this are judged in the process beside: 64 K characters take about 2 ms, 5 M take 150 (docs/benchmarks.md)."""

INLINE_PATTERN_CHARS = 256
"""The same for schemas with a costly `pattern`: at worst 10 ms."""

SIDE_CHECK_SECONDS = 10.0
"""A check that takes longer is killed and the answer counts as not meeting its schema."""

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

IDLE_CONNECTION_SECONDS = 60.0
"""Kept connections are closed after this: shorter than what providers' load balancers allow."""

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

# --- a worker's life ----------------------------------------------------------------------------------------
DATABASE_OPEN_SECONDS = 10.0
"""Name look-up, every address of the host, TLS and login together: twice what one address gets."""

CLAIM_SILENCE_SECONDS = 10.0
"""A claim takes milliseconds; without a byte for this long its connection is given up and another opened."""

SETTLE_SILENCE_SECONDS = 30.0
"""A batch of outcomes may wait for locks and a checkpoint; it is settled again, booked once (invariant 3)."""

LOOK_SILENCE_SECONDS = 10.0
"""Small look-ups: the schema check at the start, the doorbell."""

DRAIN_LOOK_SILENCE_SECONDS = 30.0
"""What is left in the queue: a count over what is open, and `explain_waiting` before it."""

STATEMENT_SECONDS = 300.0
"""One statement, however steadily bytes trickle in: 50 prompts of a megabyte each over a slow line."""

CANCEL_SECONDS = 1.0
"""The server is asked for this long to stop a statement that was given up; a session left behind would pile up on it."""

PINNED_TIMEOUT_SECONDS = 60.0
"""Stands in for a role's own statement_timeout or lock_timeout where that is shorter than settling may take."""

BEAT_SECONDS = 0.4
"""How often cancellations are asked for; the SQL function writes the row only every sixth of a lease."""

HEARTBEAT_SILENCE_SHARE = 1 / 5
"""Share of a lease after which a silent heartbeat is given up: the next two still come before the lease ends."""

HEARTBEAT_OPEN_SHARE = 1 / 3
"""Share of a lease that the heartbeat's connection may take to open: three tries before the lease ends."""

FRESH_LEASE_SHARE = 1 / 2
"""A worker whose last heartbeat is older than this share of its lease neither claims nor keeps house: others may
think it dead, and it may not know yet who else is alive."""

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0
"""Pause of a loop whose turn failed, doubled each time: a database that restarts is met again within moments."""

CHORE_LONGEST_PAUSE_SECONDS = 60.0
"""The same for a chore: one that always fails costs its database one try a minute."""

CHORE_SILENCE_SECONDS = {
    "rescue": 10.0,
    "expire": 10.0,
    "events": 10.0,
    "sweep_pages": 10.0,
    "sweep_lanes": 10.0,
    "explain_waiting": 30.0,
    "sweep_orphans": 30.0,
    "learn": 30.0,
    "tidy": 60.0,
    "ensure_partitions": 60.0,
    "retention": 60.0,
}
"""A chore's statement is given up after this: ten times and more of what each takes on a large queue. Those of 10 s
share a connection: should one hang, the others wait that long, and less often the longer it goes on."""

REPLAY_GRACE_SECONDS = 10.0
"""How long a new worker's first rescue waits for the spool: what its predecessor was paid for must not be bought again."""

CLAIM_STOP_SECONDS = 5.0
"""A stopping worker lets a claim under way end: one that is cut may have taken requests that only a rescue finds. Never
longer than it waits for its calls (LLMREQ_DRAIN_SECONDS), but for a second."""

SETTLE_STOP_SECONDS = 10.0
"""How long a stopping worker waits for Postgres to take its outcomes, with the same exception; then they go to the spool."""

STOP_STEP_SECONDS = 1.0
"""Every other step of a stop: cutting calls, retiring, closing."""

HURRIED_STEP_SECONDS = 0.1
"""The same after a second SIGTERM, which promises an end within a second."""

HURRIED_SETTLE_SECONDS = 0.3
"""And how long Postgres then has for the outcomes, before they go to the spool: it takes a batch in some milliseconds."""

EXIT_SECONDS = 2.0
"""A worker that has ended leaves by then, whatever its threads still wait for."""

# --- schemas and checks -------------------------------------------------------------------------------------
MAX_SCHEMA_EXPANSION = 100_000
"""Subschemas met when every `$ref` is written out: 22 doubled references are 4 million checks per value."""

VALIDATION_ERRORS_COUNTED = 1_000
"""Errors looked for before the search stops: enough to say "and 900 more" without walking a hostile array."""

EXPLAIN_CHARS = 16 * 1024 * 1024
"""Answer size × times the search for errors may judge most of it again: 0.1 s, at worst (all `$ref`) 2 s."""

MIN_EXPLAIN_REREADS = 6
"""Steps the search may go down in an answer of any size: list, item, reference, property, reference, leaf."""

LARGE_VALUE_SIZE = 20_000
"""Items, properties and characters above which judging a value again counts as re-reading the answer."""

PATTERN_TIERS = ((1_000, MAX_ANSWER_BYTES), (16_000, 512 * 1024), (1_000_000, 64 * 1024))
"""(compiled bytes of the largest `pattern`, characters it may meet): at worst 2.5 s each, a common one
takes microseconds. The first tier, which holds dates and e-mail addresses, at worst 0.4 s per million."""

BACKTRACKING_STEPS = 2_000
"""Steps a `pattern` with look-around or back-references may take; each can re-read the string once."""

BACKTRACKING_CHARS = 64 * 1024
"""Characters such patterns may meet: with the steps above at worst 0.8 s."""

MAX_PEEL_STARTS = 64
"""Brackets tried when one JSON value is looked for in prose; real prose has a handful."""

MAX_FEEDBACK_CHARS = 8_000
"""How much of a bad answer a re-ask repeats, head and tail: the model needs the shape, not the bulk."""

MAX_FEEDBACK_ERRORS = 20
"""Errors a re-ask lists: the rest usually go away with the first ones."""

MAX_NAME_CHARS = 60
"""How much of a property name written by a model a message repeats."""

# --- merging pages ------------------------------------------------------------------------------------------
MAX_MERGE_CONFLICTS = 100
"""Conflicts a merge writes down; of others it says only how many. A list of thousands is read by nobody."""

MERGE_CONFLICT_CHARS = 1_000
"""How much of a value a conflict repeats; the page's own row has it whole."""

MAX_MERGE_DEPTH = 64
"""Objects and lists nested deeper are one value to a merge: real answers nest some ten levels."""

# --- producers and operators --------------------------------------------------------------------------------
MAX_LABEL_CHARS = 500
"""Tenants, lanes, dedupe keys: they are indexed, and an index entry must stay below 2,700 bytes."""

FIRST_LOOK_SECONDS = 0.05
"""Pause between the first looks of a waiting client; it grows by half up to the longest."""

LONGEST_LOOK_SECONDS = 1.0
"""A client that has waited long notices the end within this."""

COPY_TRIES = 3
"""A COPY that met another session's dedupe key is sent again; a third clash is a fault of the producers."""

RETRY_BATCH = 500
"""Failed requests put back per statement: each is its own short transaction."""

ANSWER_TYPES_KEPT = 256
"""Types of answers whose schema is kept, least recently used first out: a program has a handful."""

STREAM_BATCH = 200
"""Ended requests a stream reads at a time: a row may hold a prompt of a megabyte."""

MAX_LOOK_SHARE = 0.1
"""Share of the time that looking after many requests may take; the pauses between the looks grow to keep it."""

ENQUEUE_BATCH_LINES = 1000
"""JSON lines read from stdin per COPY: workers begin while the rest is still read, and memory stays flat."""

MAX_PRICE_FILE_BYTES = 32 * 1024 * 1024
"""A price list above this is refused: LiteLLM's, the largest one known, has 1.7 MB."""

MAX_USD_PER_MTOK = 1_000_000
"""A price above this is a slip of the unit (dollars per token are a million times smaller)."""

MAX_USD_DECIMALS = 20
"""Decimals of a price per million tokens: the finest list has 7, and NUMERIC would take 16,383."""

CLEANUP_BATCH = 1_000
"""Ended requests that retention deletes per statement: each is a short transaction off the hot path."""

# --- stored agents ------------------------------------------------------------------------------------------
MAX_AGENT_BYTES = 1024 * 1024
"""An agent's definition above this is refused, as its schema is: a prompt of this size is content, not a prompt."""

LONGEST_YAML_NUMBER = 300
"""A plain run of more digits in YAML is text: larger integers leave the range of every number we store."""

SMALLEST_CHUNK_TOKENS = 50
"""Pages below this are a few sentences: each would cost a call and tell the model nothing."""

LARGEST_WINDOW_TOKENS = 10_000_000
"""Bound of an agent's window and pages: no vendor's window comes near."""

MAX_PAGES = 10_000
"""A document of more pages is refused: its chunk_tokens is a slip, and each page is a call."""

LARGEST_OUTPUT_CAP = 1_000_000
"""Output tokens an agent may ask for: what `llmreq_output_cap` takes at most."""

SCHEMA_PLACES_COMPARED = 5_000
"""Places of two schemas compared before the rest is called changed: shared references multiply them."""

SCHEMA_ALTERNATIVES = 32
"""Combinations of `anyOf` told apart at one place; past them only the place's own rules are compared."""

SCHEMA_CHANGES_TOLD = 200
"""Changes of a schema told one by one: nobody reads more."""
