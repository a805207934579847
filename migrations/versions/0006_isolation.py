"""Isolation: lanes that are due, keys that are taken, budgets that are counted, what throttled lanes remember.

Revision ID: 0006
Revises: 0005
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# When each lane is worth a visit. Written by claims only; everybody else leaves a signal, which locks nothing.
DUE = """
CREATE TABLE llm_due (
    lane       text        NOT NULL PRIMARY KEY,
    provider   text        NOT NULL,
    due_at     timestamptz NOT NULL,
    worked_at  timestamptz NOT NULL DEFAULT llmreq_now(),
    behind     boolean     NOT NULL DEFAULT false
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
CREATE INDEX llm_due_idx ON llm_due (provider, due_at);

CREATE TABLE llm_signals (
    id      bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    lane    text        NOT NULL,
    due_at  timestamptz NOT NULL,
    behind  boolean     NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

-- Where the two indexes above begin to hold anything: without it an old snapshot makes every poll walk what is gone.
CREATE TABLE llm_poll_marks (
    name      text        NOT NULL PRIMARY KEY,
    low       timestamptz NOT NULL,
    low_id    bigint      NOT NULL DEFAULT 0,
    next_id   bigint      NOT NULL DEFAULT 0,
    moved_at  timestamptz NOT NULL
) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

-- Every lane that is known, and every one that has rows: each is visited once, and then knows when it is due.
INSERT INTO llm_due (lane, provider, due_at)
SELECT x.lane, split_part(x.lane, '/', 1), llmreq_now()
FROM (SELECT l.lane FROM llm_lanes l WHERE l.model <> '*'
      UNION SELECT r.lane FROM llm_requests r WHERE r.status = 'pending' AND r.budget_id IS NULL) x
WHERE x.lane IS NOT NULL;
"""

# Who asks first under a key. A plain INSERT of a key that another transaction has just used waits for that transaction and then
# returns no row; the unique index alone would raise.
DEDUPE = """
CREATE TABLE llm_dedupe_keys (
    tenant_id   text NOT NULL,
    dedupe_key  text NOT NULL,
    PRIMARY KEY (tenant_id, dedupe_key)
);
INSERT INTO llm_dedupe_keys (tenant_id, dedupe_key)
SELECT r.tenant_id, r.dedupe_key FROM llm_requests r WHERE r.dedupe_key IS NOT NULL;
"""

LANES = """
ALTER TABLE llm_lanes
    ADD COLUMN throttled integer NOT NULL DEFAULT 0,
    ADD COLUMN in_flight_window integer,
    ADD COLUMN seen_at timestamptz;
CREATE INDEX llm_tenants_paused_idx ON llm_tenants (tenant_id) WHERE paused;
"""

# A budget that is new or moved counts from the next claim on: `counted` says that its books are complete.
BUDGETS = """
ALTER TABLE llm_budgets
    ADD COLUMN counted boolean NOT NULL DEFAULT false,
    ADD COLUMN wake_at timestamptz NOT NULL DEFAULT 'epoch';
UPDATE llm_budgets SET counted = true;
CREATE INDEX llm_budgets_uncounted_idx ON llm_budgets (id) WHERE NOT counted;
DROP INDEX llm_budgets_waiting_idx;
CREATE INDEX llm_budgets_waiting_idx ON llm_budgets (wake_at) WHERE waiting;
"""

# A call that ended without its worker: what is needed to book it, whatever became of its row.
TYPES = """
CREATE TYPE llmreq_key AS (tenant_id text, priority smallint, low timestamptz, low_id uuid);
CREATE TYPE llmreq_lost_call AS (
    id uuid, claim_seq integer, claimed_at timestamptz, worker_id bigint, attempts smallint, hold_usd numeric, hold_tokens bigint,
    unpriced boolean, estimated_tokens bigint, tenant_id text, agent_id text, task_type text, kind text, lane text, run_id uuid,
    parent_id uuid
);
"""


def upgrade() -> None:
    for statements in (DUE, DEDUPE, LANES, BUDGETS, TYPES):
        op.execute(statements)


def downgrade() -> None:
    op.execute("DROP TYPE llmreq_lost_call, llmreq_key CASCADE")
    op.execute("DROP INDEX llm_budgets_uncounted_idx, llm_budgets_waiting_idx, llm_tenants_paused_idx")
    op.execute("CREATE INDEX llm_budgets_waiting_idx ON llm_budgets (id) WHERE waiting")
    for column in ("counted", "wake_at"):
        op.execute(f"ALTER TABLE llm_budgets DROP COLUMN {column} CASCADE")
    for column in ("throttled", "in_flight_window", "seen_at"):
        op.execute(f"ALTER TABLE llm_lanes DROP COLUMN {column} CASCADE")
    op.execute("DROP TABLE llm_due, llm_signals, llm_poll_marks, llm_dedupe_keys CASCADE")
