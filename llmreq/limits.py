"""Every bound of the program in one place, with its unit and its reason.

Nothing in llmreq grows without one of these. Bounds that operators set live in `settings.py`.
"""

from __future__ import annotations

# --- answers ------------------------------------------------------------------------------------------------
MAX_ANSWER_BYTES = 32 * 1024 * 1024
"""A response body past this is dropped while it is read: the largest answer any vendor sends is below 8 MB."""

INLINE_ANSWER_BYTES = 64 * 1024
"""Response bodies above this are read and judged in a process beside: 64 KB take about 2 ms, 5 MB take 150."""

INLINE_CHECK_WORK = 4_000_000
"""Characters of an answer × subschemas they may meet, above which it is judged beside: at worst 30 ms (14 ns for each two)."""

INLINE_PATTERN_CHARS = 256
"""Characters of an answer judged in place where a `pattern` is costly: at worst 10 ms."""

MAX_ERROR_BODY_BYTES = 64 * 1024
"""What is read of a response that is an error: all vendors' errors have less than 10 KB."""

MAX_JSON_DEPTH = 512
"""Nesting above this is refused as malformed: deeper values break consumers' parsers, not only ours."""

RESPONSE_PREVIEW_CHARS = 100
"""How much of a bad answer `validation_errors` repeats (the whole answer is in `response`)."""

MAX_VALIDATION_ERRORS = 100
"""Errors kept per answer: an array of 10,000 wrong items says nothing more than its first hundred."""

MAX_ERROR_BODY_CHARS = 500
"""How much of a provider's error page goes to `error_details`."""

MAX_JSON_VALUES = 4_000_000
"""Commas and brackets of a JSON answer: Postgres needs 32 bytes for each value while it reads a list, and 8 MB hold fewer."""

MAX_PRINTED_BYTES = 256 * 1024 * 1024
"""A JSON value may take this much where Postgres prints it: `1e308` is 5 bytes to a model and 309 in a row that is read."""

MAX_IDENTIFIER_CHARS = 200
"""What a provider calls its model, its reason to stop and its call: real ones have less than a hundred."""

MAX_MESSAGE_CHARS = 2_000
"""An error message: more is nobody's sentence."""

MAX_DETAILS_BYTES = 16 * 1024
"""`error_details`, `repairs` and whatever else is said beside an answer."""

MAX_RECORDS_BYTES = 128 * 1024
"""`validation_errors`: a hundred of them take 20 KB; deep paths and long names may take more."""

MAX_RECORD_TEXT_CHARS = 1_000
"""One text of an error record: a path of a hundred steps fits."""

MAX_TOKEN_COUNT = 10_000_000_000
"""A token count above this is no count: the bill is unknown then, and booked at its upper bound."""

MAX_SCHEMA_BYTES = 1024 * 1024
"""A JSON Schema above this is refused: providers refuse far smaller ones."""

COMPILED_SCHEMAS_KEPT = 1024
"""Compiled validators kept in memory, least recently used first out; about 20 KB each."""

# --- work beside the event loop -------------------------------------------------------------------------------
STALL_BUDGET_SECONDS = 0.1
"""What no single piece of work may take from everybody else's calls: the bounds below keep it."""

INLINE_REQUEST_BYTES = 512 * 1024
"""JSON of a row above this is decoded and made a request in a process beside: at worst (small values) 15 ms."""

INLINE_CONTENT_CHARS = 4 * 1024 * 1024
"""The same for `content`, which is one string: 0.5 ms per million plain characters, at worst (emoji, control characters) 9."""

INLINE_SCHEMA_BYTES = 8 * 1024
"""Schemas and tools above this are compiled in a process beside first, which tells how long it takes."""

INLINE_COMPILE_SECONDS = 0.01
"""Schemas that take longer are never compiled on the event loop: their answers are judged beside."""

MAX_REQUEST_BYTES = 64 * 1024 * 1024
"""A request body above this is refused: Anthropic takes 32 MB, and no OpenAI-shaped server known to us takes more than this."""

SIDE_PROCESSES_LEAST = 2
"""Processes beside, at most: as many as there are cores, and never fewer, so that one costly job leaves room for others."""

SIDE_SHARE = 0.5
"""How much of them one lane, or one schema, may have at a time."""

SIDE_WAITING = 4_096
"""Jobs that may wait for a process; each belongs to a call in flight."""

SIDE_WAIT_SECONDS = 30.0
"""How long a job may wait until it begins: then its call ends without it, and gives its slot back."""

SIDE_CHECK_SECONDS = 20.0
"""A check that takes longer is killed and the answer counts as not meeting its schema."""

SIDE_BUILD_SECONDS = 20.0
"""A request that takes longer to make is killed and refused; 64 MB take one."""

SIDE_COMPILE_SECONDS = 15.0
"""A schema that takes longer to compile is refused: 0.5 MB of plain rules take 0.2, of patterns 2."""

SIDE_LOCAL_SECONDS = 300.0
"""A step of a large document on the local tier: cutting 64 MB into pages takes about a minute."""

SIDE_IDLE_SECONDS = 60.0
"""A process beside that nobody needed for so long is ended; starting one takes 0.3 s."""

SIDE_START_SECONDS = 30.0
"""A process beside must have started by then: 0.3 s as a rule, longer on a machine that is busy."""

SIDE_FRAME_BYTES = 1024 * 1024 * 1024
"""The most that may pass a pipe at once: an answer of the largest size, decoded and escaped, is below a third."""

SIDE_MEMORY_BYTES = 4 * 1024 * 1024 * 1024
"""Address space of a process beside: 32 MB of JSON may become 1.5 GB of objects; what needs more kills itself and no one else."""

SIDE_RECYCLE_BYTES = 512 * 1024 * 1024
"""A process beside that keeps more memory than this ends after its job, and gives it back."""

VERDICTS_KEPT = 1_024
"""Schemas of which is remembered whether they are good, refused or too costly, least recently used first out."""

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
