"""The governor: token buckets in and out apart, what providers' headers say, shares of tenants, low-water marks.

Revision ID: 0002
Revises: 0001
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

REQUESTS = """
ALTER TABLE llm_requests
    -- Part of 0001 since; a database made before gets them at its rows' end, where they cost more WAL.
    ADD COLUMN IF NOT EXISTS held_input_tokens integer,
    ADD COLUMN IF NOT EXISTS held_output_tokens integer,
    ADD COLUMN on_unavailable text NOT NULL DEFAULT 'wait',
    ADD CONSTRAINT llm_requests_on_unavailable_check CHECK (on_unavailable IN ('wait','fail','degrade'));
-- The few that do not simply wait are found without a walk through those that do.
CREATE INDEX llm_requests_on_unavailable_idx ON llm_requests (lane) WHERE status = 'pending' AND on_unavailable <> 'wait';
CREATE INDEX llm_requests_failed_idx ON llm_requests (completed_at) WHERE status = 'failed';
"""

# Levels are double precision: they are refilled and drawn down many times a second and hold no money.
LANES = """
ALTER TABLE llm_lanes
    ALTER COLUMN request_level TYPE double precision,
    ALTER COLUMN token_level TYPE double precision,
    ADD COLUMN input_tokens_per_minute numeric,
    ADD COLUMN output_tokens_per_minute numeric,
    ADD COLUMN input_level double precision,
    ADD COLUMN output_level double precision,
    ADD COLUMN seen_requests_per_minute numeric,
    ADD COLUMN seen_tokens_per_minute numeric,
    ADD COLUMN seen_input_tokens_per_minute numeric,
    ADD COLUMN seen_output_tokens_per_minute numeric,
    ADD COLUMN counts_output_cap boolean,
    ADD COLUMN counts_cache_reads boolean,
    ADD COLUMN mean_output_tokens double precision,
    ADD COLUMN virtual_time double precision NOT NULL DEFAULT 0,
    ADD COLUMN turns bigint NOT NULL DEFAULT 0,
    ADD CONSTRAINT llm_lanes_limits_check CHECK (
        least(requests_per_minute, tokens_per_minute, input_tokens_per_minute, output_tokens_per_minute) > 0),
    ADD CONSTRAINT llm_lanes_burst_seconds_check CHECK (burst_seconds > 0);
"""

TENANTS = """
CREATE TABLE llm_tenants (
    tenant_id   text        NOT NULL PRIMARY KEY,
    weight      numeric     NOT NULL DEFAULT 1,
    paused      boolean     NOT NULL DEFAULT false,
    created_at  timestamptz NOT NULL DEFAULT llmreq_now(),
    updated_at  timestamptz NOT NULL DEFAULT llmreq_now(),
    CONSTRAINT llm_tenants_weight_check CHECK (weight > 0)
);

-- How far ahead of its lane's virtual time a tenant is, in tokens by weight. A tenant without a row is not ahead.
CREATE TABLE llm_shares (
    lane          text             NOT NULL,
    tenant_id     text             NOT NULL,
    virtual_time  double precision NOT NULL,
    PRIMARY KEY (lane, tenant_id)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

-- Up to where the pending rows of a long queue are known to be gone. Only a memory: a crash may empty it.
CREATE UNLOGGED TABLE llm_marks (
    lane        text        NOT NULL,
    tenant_id   text        NOT NULL,
    priority    smallint    NOT NULL,
    low         timestamptz NOT NULL,
    low_id      uuid        NOT NULL,
    walked_at   timestamptz NOT NULL,
    moved_at    timestamptz NOT NULL,
    PRIMARY KEY (lane, tenant_id, priority)
) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
"""

# Whether the worker has nothing to do and would like to be told of new work: what the doorbell looks at.
WORKERS = "ALTER TABLE llm_workers ADD COLUMN idle boolean NOT NULL DEFAULT false"

OUTCOME = "ALTER TYPE llmreq_outcome ADD ATTRIBUTE rate json"


def upgrade() -> None:
    for statements in (REQUESTS, LANES, TENANTS, WORKERS, OUTCOME):
        op.execute(statements)


def downgrade() -> None:
    op.execute("DROP TABLE llm_marks, llm_shares, llm_tenants")
    op.execute("ALTER TYPE llmreq_outcome DROP ATTRIBUTE rate CASCADE")
    op.execute("ALTER TABLE llm_workers DROP COLUMN idle CASCADE")
    op.execute("DROP INDEX llm_requests_failed_idx")
    op.execute("ALTER TABLE llm_requests DROP COLUMN on_unavailable CASCADE")
    for column in (
        "input_tokens_per_minute",
        "output_tokens_per_minute",
        "input_level",
        "output_level",
        "seen_requests_per_minute",
        "seen_tokens_per_minute",
        "seen_input_tokens_per_minute",
        "seen_output_tokens_per_minute",
        "counts_output_cap",
        "counts_cache_reads",
        "mean_output_tokens",
        "virtual_time",
        "turns",
    ):
        op.execute(f"ALTER TABLE llm_lanes DROP COLUMN {column} CASCADE")
