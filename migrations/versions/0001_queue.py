"""The queue: requests, their ledger of attempts, lanes, routes, prices and workers.

Revision ID: 0001
Revises:
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Every column that a claim or a finish changes stands before the payload, and the table is half empty (fillfactor 50):
# an update then finds room in its own page and logs only the changed front part, 164-196 bytes of WAL for a claim
# instead of 1,223 (docs/decisions.md, "Column order and fillfactor").
REQUESTS = """
CREATE TABLE llm_requests (
    id                   uuid        NOT NULL DEFAULT llmreq_uuid7() PRIMARY KEY,
    -- what a claim and a finish change: fixed width first
    scheduled_at         timestamptz NOT NULL DEFAULT llmreq_now(),
    claimed_at           timestamptz,
    created_at           timestamptz NOT NULL DEFAULT llmreq_now(),
    updated_at           timestamptz NOT NULL DEFAULT llmreq_now(),
    completed_at         timestamptz,
    published_at         timestamptz,
    expires_at           timestamptz,
    cancel_requested_at  timestamptz,
    worker_id            bigint,
    input_tokens         bigint      NOT NULL DEFAULT 0,
    output_tokens        bigint      NOT NULL DEFAULT 0,
    cache_read_tokens    bigint      NOT NULL DEFAULT 0,
    cache_write_tokens   bigint      NOT NULL DEFAULT 0,
    reasoning_tokens     bigint      NOT NULL DEFAULT 0,
    estimated_tokens     bigint,
    hold_tokens          bigint,
    claim_seq            integer     NOT NULL DEFAULT 0,
    budget_id            integer,
    input_bytes          integer,
    output_cap           integer,
    held_input_tokens    integer,
    held_output_tokens   integer,
    pages                integer,
    pages_done           integer,
    pages_failed         integer,
    route_id             integer,
    timeout_seconds      integer     NOT NULL DEFAULT 30,
    attempts             smallint    NOT NULL DEFAULT 0,
    max_attempts         smallint    NOT NULL DEFAULT 3,
    rescues              smallint    NOT NULL DEFAULT 0,
    route_position       smallint    NOT NULL DEFAULT 1,
    priority             smallint    NOT NULL DEFAULT 5,
    allow_text           boolean     NOT NULL DEFAULT false,
    unpriced             boolean     NOT NULL DEFAULT false,
    writes_cache         boolean     NOT NULL DEFAULT false,
    status               text        NOT NULL DEFAULT 'pending',
    wait_reason          text,
    lane                 text,
    provider             text,
    model                text,
    service_tier         text,
    pages_lane           text,
    hold_usd             numeric,
    cost_usd             numeric     DEFAULT 0,
    error_code           text,
    error_message        text,
    error_details        jsonb,
    validation_errors    jsonb,
    repairs              jsonb,
    brief                jsonb,
    merge_report         jsonb,
    parsed_response      jsonb,
    response             text,
    -- what the producer writes: never rewritten
    tenant_id            text        NOT NULL DEFAULT 'default',
    agent_id             text        NOT NULL DEFAULT 'default',
    task_type            text        NOT NULL DEFAULT 'general',
    complexity           text        NOT NULL DEFAULT 'medium',
    kind                 text        NOT NULL DEFAULT 'chat',
    quality              text,
    agent_name           text,
    agent_version        integer,
    merge_strategy       text,
    execution            text,
    dedupe_key           text,
    parent_id            uuid,
    page                 integer,
    run_id               uuid,
    document_id          uuid,
    chunk_id             uuid,
    params               jsonb,
    tool_choice          jsonb,
    tools                jsonb,
    response_schema      jsonb,
    context              jsonb       NOT NULL DEFAULT '{}',
    messages             jsonb,
    content              text,

    CONSTRAINT llm_requests_status_check CHECK (
        status IN ('pending','processing','waiting','completed','failed','cancelled')),
    CONSTRAINT llm_requests_complexity_check CHECK (complexity IN ('simple','medium','complex')),
    CONSTRAINT llm_requests_kind_check CHECK (kind IN ('chat','embedding','brief')),
    CONSTRAINT llm_requests_quality_check CHECK (quality IN ('basic','good','premium')),
    CONSTRAINT llm_requests_merge_strategy_check CHECK (
        merge_strategy IN ('concat','merge','first','last','reduce','weighted_average')),
    CONSTRAINT llm_requests_execution_check CHECK (execution IN ('parallel','sequential')),
    CONSTRAINT llm_requests_priority_check CHECK (priority BETWEEN 0 AND 9),
    CONSTRAINT llm_requests_timeout_seconds_check CHECK (timeout_seconds BETWEEN 1 AND 3600),
    CONSTRAINT llm_requests_max_attempts_check CHECK (max_attempts BETWEEN 1 AND 100),
    CONSTRAINT llm_requests_wait_reason_check CHECK (
        wait_reason IN ('rate_limit','budget','provider_down','no_worker','paused','backoff'))
) WITH (
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.05,
    autovacuum_vacuum_cost_delay = 1
);

-- Equality on the leading columns, so that a probe of one (lane, tenant, priority) is one contiguous range that stops.
CREATE INDEX llm_requests_pending_idx ON llm_requests (lane, tenant_id, priority, scheduled_at, id) WHERE status = 'pending';
-- Rescue and cancellation look up one worker's rows; nothing a heartbeat writes is indexed.
CREATE INDEX llm_requests_processing_idx ON llm_requests (worker_id) WHERE status = 'processing';
CREATE INDEX llm_requests_cancel_idx ON llm_requests (worker_id) WHERE status = 'processing' AND cancel_requested_at IS NOT NULL;
CREATE INDEX llm_requests_expires_idx ON llm_requests (expires_at) WHERE status = 'pending' AND expires_at IS NOT NULL;
CREATE INDEX llm_requests_parent_idx ON llm_requests (parent_id, page) WHERE parent_id IS NOT NULL;
CREATE UNIQUE INDEX llm_requests_dedupe_idx ON llm_requests (tenant_id, dedupe_key) WHERE dedupe_key IS NOT NULL;
"""

# The partition key is the claim's own time, frozen in the claim: so (request, claim) is unique across the whole ledger
# and a call can be booked only once, however late and however often its worker reports it (invariant 3).
ATTEMPTS = """
CREATE TABLE llm_attempts (
    request_id            uuid        NOT NULL,
    claim_seq             integer     NOT NULL,
    claimed_at            timestamptz NOT NULL,
    settled_at            timestamptz NOT NULL DEFAULT llmreq_now(),
    worker_id             bigint      NOT NULL,
    input_tokens          bigint,
    cache_read_tokens     bigint,
    cache_write_5m_tokens bigint,
    cache_write_1h_tokens bigint,
    output_tokens         bigint,
    reasoning_tokens      bigint,
    estimated_tokens      bigint,
    attempt               smallint    NOT NULL,
    accepted              boolean     NOT NULL,
    http_status           smallint,
    latency_ms            integer,
    price_id              integer,
    run_id                uuid,
    parent_id             uuid,
    cost_usd              numeric,
    cost_basis            text        NOT NULL,
    outcome               text        NOT NULL,
    tenant_id             text        NOT NULL,
    agent_id              text        NOT NULL,
    task_type             text        NOT NULL,
    kind                  text        NOT NULL,
    lane                  text        NOT NULL,
    provider              text        NOT NULL,
    model                 text        NOT NULL,
    provider_model        text,
    provider_request_id   text,
    finish_reason         text,
    error_message         text,
    validation_errors     jsonb,
    repairs               jsonb,

    PRIMARY KEY (request_id, claim_seq, claimed_at),
    CONSTRAINT llm_attempts_cost_basis_check CHECK (cost_basis IN ('usage','upper_bound','none'))
) PARTITION BY RANGE (claimed_at);

-- Catches a claim of a day nobody made a partition for: nothing is ever refused for want of one.
CREATE TABLE llm_attempts_default PARTITION OF llm_attempts DEFAULT;
"""

# What a worker reports of one call; llmreq_finish takes a JSON list of these.
OUTCOME = """
CREATE TYPE llmreq_outcome AS (
    id uuid, claim_seq integer, claimed_at timestamptz, outcome text, billed text,
    response text, parsed_response jsonb, validation_errors jsonb, repairs jsonb,
    error_message text, error_details jsonb, retry_after_seconds numeric,
    input_tokens bigint, cache_read_tokens bigint, cache_write_5m_tokens bigint, cache_write_1h_tokens bigint,
    output_tokens bigint, reasoning_tokens bigint,
    max_output_tokens integer, http_status smallint, finish_reason text, provider_model text,
    provider_request_id text, latency_ms integer
);
"""

LANES = """
CREATE TABLE llm_lanes (
    lane                   text        NOT NULL PRIMARY KEY,
    provider               text        NOT NULL,
    model                  text        NOT NULL,
    paused                 boolean     NOT NULL DEFAULT false,
    in_flight              integer     NOT NULL DEFAULT 0,
    max_in_flight          integer,
    requests_per_minute    numeric,
    tokens_per_minute      numeric,
    safety_margin          numeric     NOT NULL DEFAULT 0.9,
    burst_seconds          numeric     NOT NULL DEFAULT 5,
    request_level          numeric,
    token_level            numeric,
    refilled_at            timestamptz,
    blocked_until          timestamptz,
    block_reason           text,
    block_message          text,
    consecutive_failures   integer     NOT NULL DEFAULT 0,
    breaker_opened         integer     NOT NULL DEFAULT 0,
    tenant_cursor          text        NOT NULL DEFAULT '',
    created_at             timestamptz NOT NULL DEFAULT llmreq_now(),
    updated_at             timestamptz NOT NULL DEFAULT llmreq_now(),
    CONSTRAINT llm_lanes_in_flight_check CHECK (in_flight >= 0),
    CONSTRAINT llm_lanes_max_in_flight_check CHECK (max_in_flight > 0),
    CONSTRAINT llm_lanes_safety_margin_check CHECK (safety_margin > 0 AND safety_margin <= 1),
    CONSTRAINT llm_lanes_block_reason_check CHECK (block_reason IN ('rate_limit','provider_down'))
) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

CREATE TABLE llm_routes (
    id          integer     GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    task_type   text,
    complexity  text,
    quality     text,
    candidates  text[]      NOT NULL,
    enabled     boolean     NOT NULL DEFAULT true,
    note        text,
    created_at  timestamptz NOT NULL DEFAULT llmreq_now(),
    CONSTRAINT llm_routes_complexity_check CHECK (complexity IN ('simple','medium','complex')),
    CONSTRAINT llm_routes_quality_check CHECK (quality IN ('basic','good','premium')),
    CONSTRAINT llm_routes_candidates_check CHECK (cardinality(candidates) BETWEEN 1 AND 20)
);
CREATE UNIQUE INDEX llm_routes_match_idx ON llm_routes (coalesce(task_type, ''), coalesce(complexity, ''), coalesce(quality, ''));

CREATE TABLE llm_prices (
    id                          integer     GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    provider                    text        NOT NULL,
    model                       text        NOT NULL,
    valid_from                  timestamptz NOT NULL,
    min_prompt_tokens           bigint      NOT NULL DEFAULT 0,
    service_tier                text        NOT NULL DEFAULT 'standard',
    batch                       boolean     NOT NULL DEFAULT false,
    input_usd_per_mtok          numeric,
    cache_read_usd_per_mtok     numeric,
    cache_write_5m_usd_per_mtok numeric,
    cache_write_1h_usd_per_mtok numeric,
    output_usd_per_mtok         numeric,
    source                      text        NOT NULL,
    created_at                  timestamptz NOT NULL DEFAULT llmreq_now(),
    CONSTRAINT llm_prices_not_negative_check CHECK (
        least(input_usd_per_mtok, cache_read_usd_per_mtok, cache_write_5m_usd_per_mtok,
              cache_write_1h_usd_per_mtok, output_usd_per_mtok) >= 0)
);
CREATE UNIQUE INDEX llm_prices_version_idx
    ON llm_prices (provider, model, valid_from, min_prompt_tokens, service_tier, batch);

CREATE TABLE llm_workers (
    id               bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name             text        NOT NULL,
    version          text        NOT NULL,
    state            text        NOT NULL DEFAULT 'alive',
    providers        text[]      NOT NULL,
    unusable         jsonb       NOT NULL DEFAULT '{}',
    concurrency      integer     NOT NULL,
    in_flight        integer     NOT NULL DEFAULT 0,
    lease_seconds    numeric     NOT NULL,
    started_at       timestamptz NOT NULL DEFAULT llmreq_now(),
    heartbeat_at     timestamptz NOT NULL DEFAULT llmreq_now(),
    lease_until      timestamptz NOT NULL,
    CONSTRAINT llm_workers_state_check CHECK (state IN ('alive','draining','dead'))
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
"""

# Which version of sql/functions, sql/views and sql/seeds this database carries (migrations/env.py writes it).
META = """
CREATE TABLE llmreq_meta (
    key        text        NOT NULL PRIMARY KEY,
    value      text        NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT llmreq_now()
);
"""


def upgrade() -> None:
    for statements in (REQUESTS, ATTEMPTS, OUTCOME, LANES, META):
        op.execute(statements)


def downgrade() -> None:
    for table in (
        "llmreq_meta",
        "llm_workers",
        "llm_prices",
        "llm_routes",
        "llm_lanes",
        "llm_attempts",
        "llm_requests",
    ):
        op.execute(f"DROP TABLE {table} CASCADE")
    op.execute("DROP TYPE llmreq_outcome CASCADE")
