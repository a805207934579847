"""Money: budgets with holds apart from spend, what unpriced calls count as, the daily rollup, learned answers, events.

Revision ID: 0003
Revises: 0002
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

REQUESTS = """
ALTER TABLE llm_requests
    -- Part of 0001 since; a database made before gets them at its rows' end, where they cost more WAL.
    ADD COLUMN IF NOT EXISTS hold_tokens bigint,
    ADD COLUMN IF NOT EXISTS budget_id integer,
    ADD COLUMN IF NOT EXISTS unpriced boolean NOT NULL DEFAULT false,
    ADD COLUMN IF NOT EXISTS writes_cache boolean NOT NULL DEFAULT false,
    ADD COLUMN IF NOT EXISTS service_tier text;
-- What waits for a budget stands apart from what can be claimed, so that a claim never walks over it.
DROP INDEX llm_requests_pending_idx;
CREATE INDEX llm_requests_pending_idx ON llm_requests (lane, tenant_id, priority, scheduled_at, id)
    WHERE status = 'pending' AND budget_id IS NULL;
CREATE INDEX llm_requests_budget_idx ON llm_requests (budget_id, priority, scheduled_at, id)
    WHERE status = 'pending' AND budget_id IS NOT NULL;
-- Retention looks for what ended long ago; an entry is made once, when a request ends.
CREATE INDEX llm_requests_ended_idx ON llm_requests (completed_at) WHERE status IN ('completed','cancelled');
"""

# cost_usd stays the bill. ceiling_usd is what a call of unknown price counts in budgets, bound_tokens one of unknown usage.
ATTEMPTS = """
ALTER TABLE llm_attempts
    ADD COLUMN service_tier text,
    ADD COLUMN ceiling_usd numeric,
    ADD COLUMN bound_tokens bigint,
    ADD COLUMN estimated_input_tokens bigint,
    ADD COLUMN estimated_output_tokens bigint;
ALTER TABLE llm_attempts DROP CONSTRAINT llm_attempts_cost_basis_check;
ALTER TABLE llm_attempts ADD CONSTRAINT llm_attempts_cost_basis_check
    CHECK (cost_basis IN ('usage','upper_bound','none','correction'));
CREATE INDEX llm_attempts_run_idx ON llm_attempts (run_id, claimed_at) WHERE run_id IS NOT NULL;
"""

OUTCOME = "ALTER TYPE llmreq_outcome ADD ATTRIBUTE service_tier text"

# What a claim passes along from choosing rows to taking them, and what a token may cost.
TYPES = """
CREATE TYPE llmreq_picked AS (
    id uuid, tenant_id text, priority smallint, scheduled_at timestamptz, input_tokens integer, output_tokens integer,
    start_at double precision, end_at double precision, crowded boolean
);
CREATE TYPE llmreq_set_aside AS (id uuid, budget_id integer, usd numeric, tokens bigint, code text, message text);
CREATE TYPE llmreq_token_price AS (
    service_tier text, min_prompt_tokens bigint, input_usd numeric, writes_usd numeric, output_usd numeric
);
"""

BUDGETS = """
CREATE TABLE llm_budgets (
    id            integer     GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    scope         text        NOT NULL,
    subject       text        NOT NULL DEFAULT '',
    period        text        NOT NULL,
    limit_usd     numeric,
    limit_tokens  bigint,
    on_exhausted  text        NOT NULL DEFAULT 'wait',
    warn_at       numeric[]   NOT NULL DEFAULT '{0.8}',
    -- what the claims and finishes of the present period count
    period_start  timestamptz NOT NULL DEFAULT 'epoch',
    spent_usd     numeric     NOT NULL DEFAULT 0,
    held_usd      numeric     NOT NULL DEFAULT 0,
    spent_tokens  bigint      NOT NULL DEFAULT 0,
    held_tokens   bigint      NOT NULL DEFAULT 0,
    warned        numeric     NOT NULL DEFAULT 0,
    -- whether requests wait for it, and the least that one of them needs
    waiting       boolean     NOT NULL DEFAULT false,
    needs_usd     numeric     NOT NULL DEFAULT 0,
    needs_tokens  bigint      NOT NULL DEFAULT 0,
    created_at    timestamptz NOT NULL DEFAULT llmreq_now(),
    updated_at    timestamptz NOT NULL DEFAULT llmreq_now(),
    CONSTRAINT llm_budgets_scope_check CHECK (scope IN ('all','tenant','agent','task_type','model','provider','run')),
    CONSTRAINT llm_budgets_subject_check CHECK ((scope = 'all') = (subject = '')),
    CONSTRAINT llm_budgets_period_check CHECK (period IN ('hour','day','month','total')),
    CONSTRAINT llm_budgets_limit_check CHECK (num_nonnulls(limit_usd, limit_tokens) > 0 AND least(limit_usd, limit_tokens) >= 0),
    CONSTRAINT llm_budgets_on_exhausted_check CHECK (on_exhausted IN ('wait','fail','degrade'))
) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
CREATE UNIQUE INDEX llm_budgets_subject_idx ON llm_budgets (scope, subject, period);
CREATE INDEX llm_budgets_waiting_idx ON llm_budgets (id) WHERE waiting;
"""

# One row a UTC day, tenant, agent, task type, kind, model and run. It outlives the ledger, which retention drops.
USAGE = """
CREATE TABLE llm_usage_daily (
    day                   date    NOT NULL,
    tenant_id             text    NOT NULL,
    agent_id              text    NOT NULL,
    task_type             text    NOT NULL,
    kind                  text    NOT NULL,
    provider              text    NOT NULL,
    model                 text    NOT NULL,
    run_id                uuid    NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    calls                 bigint  NOT NULL DEFAULT 0,
    counted_calls         bigint  NOT NULL DEFAULT 0,
    failed_calls          bigint  NOT NULL DEFAULT 0,
    lost_calls            bigint  NOT NULL DEFAULT 0,
    unpriced_calls        bigint  NOT NULL DEFAULT 0,
    input_tokens          bigint  NOT NULL DEFAULT 0,
    cache_read_tokens     bigint  NOT NULL DEFAULT 0,
    cache_write_5m_tokens bigint  NOT NULL DEFAULT 0,
    cache_write_1h_tokens bigint  NOT NULL DEFAULT 0,
    output_tokens         bigint  NOT NULL DEFAULT 0,
    reasoning_tokens      bigint  NOT NULL DEFAULT 0,
    unpriced_tokens       bigint  NOT NULL DEFAULT 0,
    bound_tokens          bigint  NOT NULL DEFAULT 0,
    estimated_tokens      bigint  NOT NULL DEFAULT 0,
    estimate_error_tokens bigint  NOT NULL DEFAULT 0,
    cost_usd              numeric NOT NULL DEFAULT 0,
    failed_usd            numeric NOT NULL DEFAULT 0,
    upper_bound_usd       numeric NOT NULL DEFAULT 0,
    ceiling_usd           numeric NOT NULL DEFAULT 0,
    PRIMARY KEY (day, tenant_id, agent_id, task_type, kind, provider, model, run_id)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500);
CREATE INDEX llm_usage_daily_run_idx ON llm_usage_daily (run_id) WHERE run_id <> '00000000-0000-0000-0000-000000000000';

CREATE TABLE llm_output_means (
    lane        text             NOT NULL,
    agent_id    text             NOT NULL,
    task_type   text             NOT NULL,
    answers     bigint           NOT NULL,
    mean_tokens double precision NOT NULL,
    updated_at  timestamptz      NOT NULL DEFAULT llmreq_now(),
    PRIMARY KEY (lane, agent_id, task_type)
);
"""

# A ledger that was there before is in the rollup from the beginning.
ROLL_UP = """
INSERT INTO llm_usage_daily (
    day, tenant_id, agent_id, task_type, kind, provider, model, run_id, calls, counted_calls, failed_calls, lost_calls,
    unpriced_calls, input_tokens, cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens, output_tokens,
    reasoning_tokens, unpriced_tokens, cost_usd, failed_usd, upper_bound_usd)
SELECT (a.claimed_at AT TIME ZONE 'UTC')::date, a.tenant_id, a.agent_id, a.task_type, a.kind, a.provider, a.model,
       coalesce(a.run_id, '00000000-0000-0000-0000-000000000000'), count(*), count(a.output_tokens),
       count(*) FILTER (WHERE a.outcome NOT IN ('completed', 'released', 'cancelled', 'lost')),
       count(*) FILTER (WHERE a.outcome = 'lost'), count(*) FILTER (WHERE a.cost_usd IS NULL),
       coalesce(sum(a.input_tokens), 0), coalesce(sum(a.cache_read_tokens), 0), coalesce(sum(a.cache_write_5m_tokens), 0),
       coalesce(sum(a.cache_write_1h_tokens), 0), coalesce(sum(a.output_tokens), 0), coalesce(sum(a.reasoning_tokens), 0),
       coalesce(sum(a.input_tokens + a.output_tokens) FILTER (WHERE a.cost_usd IS NULL), 0), coalesce(sum(a.cost_usd), 0),
       coalesce(sum(a.cost_usd) FILTER (WHERE a.outcome NOT IN ('completed', 'released', 'cancelled', 'lost')), 0),
       coalesce(sum(a.cost_usd) FILTER (WHERE a.cost_basis = 'upper_bound'), 0)
FROM llm_attempts a GROUP BY 1, 2, 3, 4, 5, 6, 7, 8;
"""

EVENTS = """
CREATE TABLE llm_events (
    id           bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    created_at   timestamptz NOT NULL DEFAULT llmreq_now(),
    announced_at timestamptz,
    kind         text        NOT NULL,
    subject      text        NOT NULL,
    message      text        NOT NULL,
    details      jsonb       NOT NULL DEFAULT '{}'
);
CREATE INDEX llm_events_unannounced_idx ON llm_events (id) WHERE announced_at IS NULL;
CREATE INDEX llm_events_subject_idx ON llm_events (kind, subject);
"""


def upgrade() -> None:
    for statements in (REQUESTS, ATTEMPTS, OUTCOME, TYPES, BUDGETS, USAGE, ROLL_UP, EVENTS):
        op.execute(statements)


def downgrade() -> None:
    op.execute("DROP TABLE llm_budgets, llm_usage_daily, llm_output_means, llm_events")
    op.execute("DROP TYPE llmreq_picked, llmreq_set_aside, llmreq_token_price CASCADE")
    op.execute("ALTER TYPE llmreq_outcome DROP ATTRIBUTE service_tier CASCADE")
    op.execute("DROP INDEX llm_attempts_run_idx")
    op.execute("ALTER TABLE llm_attempts DROP CONSTRAINT llm_attempts_cost_basis_check")
    op.execute(
        "ALTER TABLE llm_attempts DROP COLUMN service_tier, DROP COLUMN ceiling_usd, DROP COLUMN bound_tokens,"
        " DROP COLUMN estimated_input_tokens, DROP COLUMN estimated_output_tokens"
    )
    op.execute("DROP INDEX llm_requests_ended_idx")
    op.execute("DROP INDEX llm_requests_budget_idx")
    op.execute("DROP INDEX llm_requests_pending_idx")
    op.execute(
        "CREATE INDEX llm_requests_pending_idx ON llm_requests (lane, tenant_id, priority, scheduled_at, id)"
        " WHERE status = 'pending'"
    )
