"""The tables of prices, budgets, what was used, events."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TIMESTAMP, UUID

from llmreq.database.schema.columns import amount, count, metadata, text, time

llm_prices = sa.Table(
    "llm_prices",
    metadata,
    sa.Column("id", sa.Integer, sa.Identity(always=True), primary_key=True),
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    time("valid_from", required=True),
    count("min_prompt_tokens"),
    text("service_tier", "standard"),
    sa.Column("batch", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("input_usd_per_mtok", sa.Numeric),
    sa.Column("cache_read_usd_per_mtok", sa.Numeric),
    sa.Column("cache_write_5m_usd_per_mtok", sa.Numeric),
    sa.Column("cache_write_1h_usd_per_mtok", sa.Numeric),
    sa.Column("output_usd_per_mtok", sa.Numeric),
    sa.Column("source", sa.Text, nullable=False),
    time("created_at", default=True),
)
_prices = llm_prices.c
sa.Index(
    "llm_prices_version_idx",
    _prices.provider,
    _prices.model,
    _prices.valid_from,
    _prices.min_prompt_tokens,
    _prices.service_tier,
    _prices.batch,
    unique=True,
)

llm_budgets = sa.Table(
    "llm_budgets",
    metadata,
    sa.Column("id", sa.Integer, sa.Identity(always=True), primary_key=True),
    sa.Column("scope", sa.Text, nullable=False),
    text("subject", ""),
    sa.Column("period", sa.Text, nullable=False),
    sa.Column("limit_usd", sa.Numeric),
    sa.Column("limit_tokens", sa.BigInteger),
    text("on_exhausted", "wait"),
    sa.Column("warn_at", ARRAY(sa.Numeric), nullable=False, server_default=sa.text("'{0.8}'")),
    sa.Column("period_start", TIMESTAMP(timezone=True), nullable=False, server_default=sa.text("'epoch'")),
    amount("spent_usd"),
    amount("held_usd"),
    count("spent_tokens"),
    count("held_tokens"),
    amount("warned"),
    sa.Column("waiting", sa.Boolean, nullable=False, server_default=sa.false()),
    amount("needs_usd"),
    count("needs_tokens"),
    time("created_at", default=True),
    time("updated_at", default=True),
    sa.Column("counted", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("wake_at", TIMESTAMP(timezone=True), nullable=False, server_default=sa.text("'epoch'")),
    text("tenant_cursor", ""),
)
sa.Index(
    "llm_budgets_subject_idx",
    llm_budgets.c.scope,
    llm_budgets.c.subject,
    llm_budgets.c.period,
    unique=True,
)
sa.Index("llm_budgets_waiting_idx", llm_budgets.c.wake_at, postgresql_where=sa.text("waiting"))
sa.Index("llm_budgets_uncounted_idx", llm_budgets.c.id, postgresql_where=sa.text("NOT counted"))

_NO_RUN = "'00000000-0000-0000-0000-000000000000'"
llm_usage_daily = sa.Table(
    "llm_usage_daily",
    metadata,
    sa.Column("day", sa.Date, primary_key=True),
    *(
        sa.Column(name, sa.Text, primary_key=True)
        for name in ("tenant_id", "agent_id", "task_type", "kind", "provider", "model")
    ),
    sa.Column("run_id", UUID, primary_key=True, server_default=sa.text(_NO_RUN)),
    *(
        count(name)
        for name in (
            "calls",
            "counted_calls",
            "failed_calls",
            "lost_calls",
            "unpriced_calls",
            "input_tokens",
            "cache_read_tokens",
            "cache_write_5m_tokens",
            "cache_write_1h_tokens",
            "output_tokens",
            "reasoning_tokens",
            "unpriced_tokens",
            "bound_tokens",
            "estimated_tokens",
            "estimate_error_tokens",
        )
    ),
    *(amount(name) for name in ("cost_usd", "failed_usd", "upper_bound_usd", "ceiling_usd")),
)
sa.Index(
    "llm_usage_daily_run_idx",
    llm_usage_daily.c.run_id,
    postgresql_where=sa.text(f"run_id <> {_NO_RUN}"),
)

llm_output_means = sa.Table(
    "llm_output_means",
    metadata,
    sa.Column("lane", sa.Text, primary_key=True),
    sa.Column("agent_id", sa.Text, primary_key=True),
    sa.Column("task_type", sa.Text, primary_key=True),
    sa.Column("answers", sa.BigInteger, nullable=False),
    sa.Column("mean_tokens", sa.Double, nullable=False),
    time("updated_at", default=True),
)

llm_events = sa.Table(
    "llm_events",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    time("created_at", default=True),
    time("announced_at"),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("details", JSONB, nullable=False, server_default=sa.text("'{}'")),
)
sa.Index("llm_events_unannounced_idx", llm_events.c.id, postgresql_where=sa.text("announced_at IS NULL"))
sa.Index("llm_events_subject_idx", llm_events.c.kind, llm_events.c.subject)
