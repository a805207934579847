"""What waits for a budget, found by whose it is and by what it needs; and what a hold must know beside bytes.

Revision ID: 0007
Revises: 0006
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

UPGRADE = """
DROP INDEX llm_requests_budget_idx;
CREATE INDEX llm_requests_budget_idx ON llm_requests (budget_id, tenant_id, priority, scheduled_at, id)
    WHERE status = 'pending' AND budget_id IS NOT NULL;
CREATE INDEX llm_requests_budget_usd_idx ON llm_requests (budget_id, tenant_id, hold_usd)
    WHERE status = 'pending' AND budget_id IS NOT NULL;
CREATE INDEX llm_requests_budget_tokens_idx ON llm_requests (budget_id, tenant_id, hold_tokens)
    WHERE status = 'pending' AND budget_id IS NOT NULL;
ALTER TABLE llm_budgets ADD COLUMN tenant_cursor text NOT NULL DEFAULT '';
-- Documents that were to be looked at while somebody held them: the next sweep does it.
CREATE TABLE llm_turns (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    parent_id  uuid   NOT NULL
);
ALTER TABLE llm_requests ADD COLUMN images integer, ADD COLUMN choices integer, ADD COLUMN unbounded text;
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute("DROP TABLE llm_turns CASCADE")
    op.execute(
        "ALTER TABLE llm_requests DROP COLUMN images, DROP COLUMN choices, DROP COLUMN unbounded CASCADE"
    )
    op.execute("ALTER TABLE llm_budgets DROP COLUMN tenant_cursor CASCADE")
    op.execute(
        "DROP INDEX llm_requests_budget_idx, llm_requests_budget_usd_idx, llm_requests_budget_tokens_idx"
    )
    op.execute(
        "CREATE INDEX llm_requests_budget_idx ON llm_requests (budget_id, priority, scheduled_at, id)"
        " WHERE status = 'pending' AND budget_id IS NOT NULL"
    )
