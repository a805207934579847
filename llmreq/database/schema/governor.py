"""The tables of lanes, tenants, routes: who may be called when."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, UUID

from llmreq.database.schema.columns import count, metadata, text, time

llm_lanes = sa.Table(
    "llm_lanes",
    metadata,
    sa.Column("lane", sa.Text, primary_key=True),
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("paused", sa.Boolean, nullable=False, server_default=sa.false()),
    count("in_flight", sa.Integer),
    sa.Column("max_in_flight", sa.Integer),
    sa.Column("requests_per_minute", sa.Numeric),
    sa.Column("tokens_per_minute", sa.Numeric),
    sa.Column("safety_margin", sa.Numeric, nullable=False, server_default=sa.text("0.9")),
    sa.Column("burst_seconds", sa.Numeric, nullable=False, server_default=sa.text("5")),
    sa.Column("request_level", sa.Double),
    sa.Column("token_level", sa.Double),
    time("refilled_at"),
    time("blocked_until"),
    text("block_reason"),
    text("block_message"),
    count("consecutive_failures", sa.Integer),
    count("breaker_opened", sa.Integer),
    text("tenant_cursor", ""),
    time("created_at", default=True),
    time("updated_at", default=True),
    sa.Column("input_tokens_per_minute", sa.Numeric),
    sa.Column("output_tokens_per_minute", sa.Numeric),
    sa.Column("input_level", sa.Double),
    sa.Column("output_level", sa.Double),
    sa.Column("seen_requests_per_minute", sa.Numeric),
    sa.Column("seen_tokens_per_minute", sa.Numeric),
    sa.Column("seen_input_tokens_per_minute", sa.Numeric),
    sa.Column("seen_output_tokens_per_minute", sa.Numeric),
    sa.Column("counts_output_cap", sa.Boolean),
    sa.Column("counts_cache_reads", sa.Boolean),
    sa.Column("mean_output_tokens", sa.Double),
    sa.Column("virtual_time", sa.Double, nullable=False, server_default=sa.text("0")),
    count("turns"),
    count("throttled", sa.Integer),
    sa.Column("in_flight_window", sa.Integer),
    time("seen_at"),
)

llm_due = sa.Table(
    "llm_due",
    metadata,
    sa.Column("lane", sa.Text, primary_key=True),
    sa.Column("provider", sa.Text, nullable=False),
    time("due_at", required=True),
    time("worked_at", default=True),
    sa.Column("behind", sa.Boolean, nullable=False, server_default=sa.false()),
)
sa.Index("llm_due_idx", llm_due.c.provider, llm_due.c.due_at)

llm_signals = sa.Table(
    "llm_signals",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("lane", sa.Text, nullable=False),
    time("due_at", required=True),
    sa.Column("behind", sa.Boolean, nullable=False),
)

llm_poll_marks = sa.Table(
    "llm_poll_marks",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    time("low", required=True),
    count("low_id"),
    count("next_id"),
    time("moved_at", required=True),
)

llm_tenants = sa.Table(
    "llm_tenants",
    metadata,
    sa.Column("tenant_id", sa.Text, primary_key=True),
    sa.Column("weight", sa.Numeric, nullable=False, server_default=sa.text("1")),
    sa.Column("paused", sa.Boolean, nullable=False, server_default=sa.false()),
    time("created_at", default=True),
    time("updated_at", default=True),
)

sa.Index("llm_tenants_paused_idx", llm_tenants.c.tenant_id, postgresql_where=sa.text("paused"))

llm_shares = sa.Table(
    "llm_shares",
    metadata,
    sa.Column("lane", sa.Text, primary_key=True),
    sa.Column("tenant_id", sa.Text, primary_key=True),
    sa.Column("virtual_time", sa.Double, nullable=False),
)

llm_marks = sa.Table(
    "llm_marks",
    metadata,
    sa.Column("lane", sa.Text, primary_key=True),
    sa.Column("tenant_id", sa.Text, primary_key=True),
    sa.Column("priority", sa.SmallInteger, primary_key=True, autoincrement=False),
    time("low", required=True),
    sa.Column("low_id", UUID, nullable=False),
    time("walked_at", required=True),
    time("moved_at", required=True),
    prefixes=["UNLOGGED"],
)

llm_routes = sa.Table(
    "llm_routes",
    metadata,
    sa.Column("id", sa.Integer, sa.Identity(always=True), primary_key=True),
    text("task_type"),
    text("complexity"),
    text("quality"),
    sa.Column("candidates", ARRAY(sa.Text), nullable=False),
    sa.Column("enabled", sa.Boolean, nullable=False, server_default=sa.true()),
    text("note"),
    time("created_at", default=True),
)
llm_routes.append_constraint(
    sa.Index(
        "llm_routes_match_idx",
        sa.text("coalesce(task_type, '')"),
        sa.text("coalesce(complexity, '')"),
        sa.text("coalesce(quality, '')"),
        unique=True,
    )
)
