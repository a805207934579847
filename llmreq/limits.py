"""Every bound of the program in one place, with its unit and its reason.

Nothing in llmreq grows without one of these. Bounds that operators set live in `settings.py`.
"""

from __future__ import annotations

from decimal import Decimal

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

MAX_RATE_LIMIT = 1_000_000_000
"""A limit a minute above this in an answer's headers is a slip: the largest quotas sold are below 10^8 tokens."""

DEFAULT_MAX_OUTPUT_TOKENS = 4096
"""Sent when a row names none: Anthropic requires a cap, and a hold needs one everywhere."""

LARGEST_OUTPUT_TOKENS = 64_000
"""A truncated answer is retried with a doubled cap, never above this."""

# --- the wire to a provider ---------------------------------------------------------------------------------
MAX_RESPONSE_HEADER_BYTES = 64 * 1024
"""Bytes of an answer without any of its body: status line, headers, trailers, chunk extensions. Vendors send 2 KB."""

MAX_RESPONSE_HEADERS = 200
"""Header lines of an answer; vendors send about 30."""

MAX_INTERIM_RESPONSES = 10
"""1xx responses before the answer: one "continue" and a few "early hints" are normal."""

MAX_BUFFERED_ANSWER_BYTES = 256 * 1024 * 1024
"""Large answers of all calls of a process together, from their first byte until the call has been judged. Past it
only one of them is read on at a time, so the most is this, one answer, and one read (256 KB) a call."""

UNMETERED_ANSWER_BYTES = 64 * 1024
"""An answer up to this is never held up for others' sake: nearly all are smaller, and 256 of them are 16 MB."""

STALLED_ANSWER_SECONDS = 5.0
"""The one large answer that is read on while memory is short is given up when it brings less than the above in this time."""

LARGE_ANSWERS_TURN_BYTES = 8 * 1024 * 1024
"""Bytes of large answers read in each turn of the event loop, about 10 ms; a loop by itself takes as many of each."""

LARGE_ANSWERS_TURN_SECONDS = 0.01
"""The same for unpacking compressed ones."""

UNPACK_SLICE_BYTES = 256 * 1024
"""What is unpacked of one answer in one go, about a millisecond: a bomb has a thousand bytes for each it sends."""

READ_BYTES = 256 * 1024
"""What a loop takes from a connection in one read, asyncio's and uvloop's alike."""

WRITE_SLICE_BYTES = 256 * 1024
"""A larger request is written in parts of this size, each when the one before has left: 256 prompts of 100 MB
would stand in write buffers otherwise."""

CONNECTS_AT_ONCE = 64
"""Connections to one host being opened: a TLS handshake is 0.6 ms of CPU, so a round of them stays below 50 ms.
Of 2,000 cold calls on two busy cores the last waits 6 s so; all at once, none had a connection after 5."""

HAPPY_EYEBALLS_SECONDS = 0.25
"""The next address is tried beside one that has not answered by then (RFC 8305)."""

ADDRESSES_PER_FAMILY = 8
"""Addresses of one host that are tried, of IPv6 and IPv4 each: at the pace above all have their turn in 4 s."""

# --- names of providers' hosts ------------------------------------------------------------------------------
DNS_FRESH_SECONDS = 30.0
"""A host's addresses are looked up again after this: the system's resolver tells no time to live, vendors use 30-300."""

DNS_STALE_SECONDS = 24 * 3600.0
"""Older addresses serve while look-ups fail or hang: the least that RFC 8767 suggests. A wrong host has no certificate."""

DNS_PATIENCE_SECONDS = 0.5
"""A look-up that takes longer is not waited for where older addresses are known."""

DNS_TIMEOUT_SECONDS = 5.0
"""Calls wait no longer for a look-up; `getaddrinfo` itself has no time-out and may hang for ever."""

DNS_FAILURE_SECONDS = 1.0
"""A failed look-up is repeated after this, not for each of a thousand waiting calls."""

DNS_THREADS = 32
"""Look-ups that run at once, hung ones included: a thread each, and a host is looked up twice a minute."""

DNS_THREADS_PER_HOST = 2
"""The same for one host: a name whose look-ups hang takes no threads from the others."""

DNS_HOSTS_KEPT = 256
"""Hosts whose addresses are kept, least recently used first out: an installation has a handful."""

# --- the database -------------------------------------------------------------------------------------------
DATABASE_CONNECT_SECONDS = 5
"""Postgres must accept a connection by then; a worker that waits longer only delays its own back-off."""

DATABASE_START_SECONDS = 60.0
"""The embedded server must answer by then: 1 s as a rule, longer only when a crash left much to replay."""

DATABASE_STOP_SECONDS = 30.0
"""A fast shutdown ends by then: it rolls back and writes one checkpoint."""

SERVER_LOG_BYTES = 10 * 1024 * 1024
"""The embedded server's log past this is set aside at the next start; one older log is kept."""
# --- claiming -----------------------------------------------------------------------------------------------
READ_SLICE_BYTES = 64 * 1024 * 1024
"""Payloads of claims read in one statement: decoded they take some three times as much until their calls begin."""

MAX_PAYLOAD_BYTES = 128 * 1024 * 1024
"""A request with more is refused unread: no provider takes a body half as large, and one row must not kill a worker."""

PAYLOADS_IN_FLIGHT_BYTES = 256 * 1024 * 1024
"""Payloads held by running calls; further claims are read as calls end, and none are made meanwhile."""

COUNTED_PAYLOAD_BYTES = 64 * 1024
"""Smaller payloads are bounded by the number of calls alone."""

UNSETTLED_FREE = 1_000
"""Outcomes that may wait for Postgres before each takes a call's slot: the back-pressure of a database that is away."""

UNSETTLED_FREE_BYTES = 256 * 1024 * 1024
"""The same in bytes: past this no claim is made until some are settled."""

RECONCILE_WINDOW_SECONDS = 20.0
"""How long after a broken claim there may be claims of ours that we have not heard of."""

RECONCILE_SECONDS = 5.0
"""How often they are looked for meanwhile."""

MAX_UNCLAIMABLE_ROWS = 1_000
"""Rows that neither a claim nor a failure may touch, remembered; the oldest is forgotten first, and met again."""

UNCLAIMABLE_SECONDS = 60.0
"""How long claims pass over such a row before they try it again."""

# --- settling -----------------------------------------------------------------------------------------------
SETTLE_BATCH = 200
"""Outcomes per statement: at 200 the statement's own cost is below 5 % of the whole."""

SETTLE_BATCH_BYTES = 8 * 1024 * 1024
"""Encoded outcomes per statement, so that one statement stays below a second; a larger outcome goes alone."""

LOCKED_PAUSE_SECONDS = (0.05, 1.0)
"""First and longest pause of an outcome whose request's row somebody has locked: passing over it costs nothing."""

BLOCKED_PAUSE_SECONDS = (0.25, 1.0)
"""The same where a lane, budget or document is locked: asking again is one short statement."""

CONFLICT_PAUSE_SECONDS = (0.01, 1.0)
"""The same after a deadlock or a serialization failure: at random in it, so that the two do not meet again."""

REFUSED_PAUSE_SECONDS = (0.5, 60.0)
"""The same for an outcome that Postgres refuses even without its answer, as where a user's trigger raises."""

TRANSIENT_TRIES = 5
"""Times one outcome alone may meet what could pass (a time limit, a schema in change) before only its bill is booked."""

BROKEN_TRIES = 2
"""Times a statement may end with its connection before its outcomes are tried in smaller parts."""

REFUSED_IN_A_ROW = 8
"""Outcomes refused one after another before the whole pauses: then it is the database, not the outcomes."""

# --- the spool ----------------------------------------------------------------------------------------------
MAX_SPOOL_LINE_BYTES = 256 * 1024 * 1024
"""A longer line is set aside: an answer of the largest size, escaped and decoded beside it, stays below."""

SPOOL_CHUNK_BYTES = 1024 * 1024
"""How such a line is copied."""

REPLAY_WINDOW = 1_000
"""Spooled outcomes handed to the completer and not yet settled: one behind a lock does not hold up the file."""

REPLAY_WINDOW_BYTES = 32 * 1024 * 1024
"""The same in bytes; one line may exceed it alone."""

REPLAY_LOOK_SECONDS = 60.0
"""How often a running worker looks for files that another one left since."""

REPLAY_PATIENCE_SECONDS = 60.0
"""How long a file's outcomes may all wait before the next file has its turn; it comes again with the next look."""

REPLAY_HEAD_START_SECONDS = 5.0
"""How long a starting worker settles what was spooled before it claims: a rescue would have those calls bought again."""

STRAY_IDS_ASKED = 1_000
"""Requests of a file without a known database looked up to learn whether it is of this one."""

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

LABEL_BYTES = {
    "tenant_id": 500,
    "agent_id": 400,
    "task_type": 400,
    "provider": 100,
    "model": 500,
    "agent_name": 100,
    "dedupe_key": 2_000,
}
"""What a request's labels may have at most: the daily rollup indexes five of them together. As in llmreq_label_problem()."""

MAX_SUBJECT_BYTES = 1_000
"""The name that a budget is for: the longest is a provider and a model."""

MAX_CANDIDATES = 20
"""Lanes of a route: each is looked at for every INSERT that it places."""

MAX_ROUTED_MODEL_CHARS = 250
"""A candidate's model: a route's lane is given to requests, and no INSERT may fail for it."""

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

MIN_WEIGHT, MAX_WEIGHT = Decimal("0.001"), Decimal(1_000_000)
"""A tenant's share beside the others': tokens are divided by it, and a double must hold the sum of years."""

MIN_PER_MINUTE, MAX_PER_MINUTE = Decimal("0.000001"), Decimal(10**12)
"""Requests or tokens a minute: one in two years, and more than all vendors sell together."""

MAX_LANE_IN_FLIGHT = 1_000_000
"""Calls at a time in a lane: a hundred times what one worker process holds."""

MIN_SAFETY_MARGIN = Decimal("0.001")
"""The smallest share of a lane's limits to use: less is a slip, and pausing is another command."""

MIN_BURST_SECONDS, MAX_BURST_SECONDS = Decimal("0.001"), Decimal(3_600)
"""Seconds' worth that an idle lane may send at once: vendors count by the minute, a few by the hour."""

MAX_BUDGET_USD = Decimal(10**12)
"""A budget above this is no cap."""

MAX_BUDGET_TOKENS = 10**15
"""The same in tokens; sums of thousands of such stay within 64 bits."""

MAX_WARN_SHARE = 10
"""A warning threshold as a share of the limit: corrections may lift a spend above its limit, not tenfold."""

MAX_WARN_SHARES = 20
"""Warning thresholds of one budget: each finish compares with all."""

MAX_SETTING_USD = Decimal(10**12)
"""What a ceiling or a spend warning may say."""

MAX_USD_PER_MTOK = 1_000_000
"""A price above this is a slip of the unit (dollars per token are a million times smaller)."""

MAX_SOURCE_BYTES = 2_000
"""Where a price is from, in words: a URL at most."""

MAX_USD_DECIMALS = 20
"""Decimals of a price per million tokens: the finest list has 7, and NUMERIC would take 16,383."""

CELL_CHARS = 500
"""How much of a text a cell of a table shows: an error message may hold a provider's page of a megabyte."""

LINE_CHARS = 2_000
"""The same for a line of its own, as a command's reason to end."""

CELL_DEPTH = 5
"""Levels of a producer's JSON that a cell tells."""

STATUS_ROWS = 20
"""Rows of each topic that `llmreq status` shows: what does not fit on a screen is not at a glance."""

STATUS_JSON_ROWS = 1_000
"""The same with --json, for machines that count."""

LISTED_ROWS = 200
"""Rows that `llmreq limits list` and `budgets list` show; drawing 100,000 takes minutes."""

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
