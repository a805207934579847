"""Agents and pages: stored agents by immutable version, models' windows, and what makes a request a document of pages.

Revision ID: 0004
Revises: 0003
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

REQUESTS = """
ALTER TABLE llm_requests
    -- Part of 0001 since.
    ADD COLUMN IF NOT EXISTS pages integer,
    ADD COLUMN IF NOT EXISTS pages_done integer,
    ADD COLUMN IF NOT EXISTS pages_failed integer,
    ADD COLUMN IF NOT EXISTS pages_lane text,
    ADD COLUMN IF NOT EXISTS brief jsonb,
    ADD COLUMN IF NOT EXISTS merge_report jsonb,
    ADD COLUMN on_overflow text,
    ADD COLUMN agent_ref integer,
    ADD COLUMN page_start integer,
    ADD COLUMN page_end integer,
    ADD CONSTRAINT llm_requests_on_overflow_check CHECK (on_overflow IN ('fail','paginate','compress'));
CREATE INDEX llm_requests_open_pages_idx ON llm_requests (parent_id)
    WHERE parent_id IS NOT NULL AND status IN ('pending','processing','waiting');
"""

AGENTS = """
CREATE TABLE llm_agents (
    id                integer     GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id         text        NOT NULL DEFAULT 'default',
    name              text        NOT NULL,
    version           integer     NOT NULL,
    description       text,
    system_prompt     text        NOT NULL,
    output_schema     jsonb,
    task_type         text,
    provider          text,
    model             text,
    quality           text,
    params            jsonb,
    chunk_tokens      integer     NOT NULL DEFAULT 3000,
    overlap_tokens    integer     NOT NULL DEFAULT 0,
    chunk_by          text        NOT NULL DEFAULT 'text',
    merge_strategy    text,
    execution         text        NOT NULL DEFAULT 'parallel',
    on_page_failure   text        NOT NULL DEFAULT 'fail',
    context_tokens    integer,
    on_overflow       text        NOT NULL DEFAULT 'paginate',
    max_output_tokens integer,
    retired_at        timestamptz,
    created_at        timestamptz NOT NULL DEFAULT llmreq_now(),
    CONSTRAINT llm_agents_name_check CHECK (name ~ '^[a-z0-9][a-z0-9._-]{0,99}$'),
    CONSTRAINT llm_agents_version_check CHECK (version > 0),
    CONSTRAINT llm_agents_output_schema_check CHECK (jsonb_typeof(output_schema) IN ('object','boolean')),
    CONSTRAINT llm_agents_params_check CHECK (jsonb_typeof(params) = 'object'),
    CONSTRAINT llm_agents_quality_check CHECK (quality IN ('basic','good','premium')),
    CONSTRAINT llm_agents_chunk_tokens_check CHECK (chunk_tokens >= 16),
    CONSTRAINT llm_agents_overlap_tokens_check CHECK (overlap_tokens >= 0 AND overlap_tokens * 2 <= chunk_tokens),
    CONSTRAINT llm_agents_chunk_by_check CHECK (chunk_by IN ('text','records')),
    CONSTRAINT llm_agents_merge_strategy_check CHECK (
        merge_strategy IN ('concat','merge','first','last','reduce','weighted_average')),
    CONSTRAINT llm_agents_execution_check CHECK (execution IN ('parallel','sequential')),
    CONSTRAINT llm_agents_on_page_failure_check CHECK (on_page_failure IN ('fail','partial')),
    CONSTRAINT llm_agents_context_tokens_check CHECK (context_tokens > 0),
    CONSTRAINT llm_agents_on_overflow_check CHECK (on_overflow IN ('fail','paginate','compress')),
    CONSTRAINT llm_agents_max_output_tokens_check CHECK (max_output_tokens > 0)
);
CREATE UNIQUE INDEX llm_agents_version_idx ON llm_agents (name, tenant_id, version);

-- How much a model can read and write in one call. A model that is not here has no window that we know of.
CREATE TABLE llm_models (
    provider          text        NOT NULL,
    model             text        NOT NULL,
    context_tokens    integer     NOT NULL,
    max_output_tokens integer,
    source            text        NOT NULL,
    created_at        timestamptz NOT NULL DEFAULT llmreq_now(),
    PRIMARY KEY (provider, model),
    CONSTRAINT llm_models_context_tokens_check CHECK (context_tokens > 0)
);
"""

# What a worker says of a step of its own: 'fits' or 'paginated', with the pages' places.
OUTCOME = """
ALTER TYPE llmreq_outcome ADD ATTRIBUTE step text, ADD ATTRIBUTE pages jsonb, ADD ATTRIBUTE merge_report jsonb;
"""


def upgrade() -> None:
    for statements in (REQUESTS, AGENTS, OUTCOME):
        op.execute(statements)


def downgrade() -> None:
    op.execute("DROP TABLE llm_agents, llm_models")
    op.execute("DROP INDEX llm_requests_open_pages_idx")
    for attribute in ("step", "pages", "merge_report"):
        op.execute(f"ALTER TYPE llmreq_outcome DROP ATTRIBUTE {attribute} CASCADE")
    for column in ("on_overflow", "agent_ref", "page_start", "page_end"):
        op.execute(f"ALTER TABLE llm_requests DROP COLUMN {column} CASCADE")
