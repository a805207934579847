"""The tables as SQLAlchemy metadata: what Python code and readers look columns up in.

The migrations are what makes them; a test compares the two and fails on any difference.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TIMESTAMP, UUID

metadata = sa.MetaData()

_NOW = sa.text("llmreq_now()")


def _time(name: str, *, default: bool = False, required: bool = False) -> sa.Column[object]:
    return sa.Column(
        name,
        TIMESTAMP(timezone=True),
        nullable=not (default or required),
        server_default=_NOW if default else None,
    )


def _count(
    name: str, kind: type[sa.types.TypeEngine[int]] = sa.BigInteger, default: str = "0"
) -> sa.Column[int]:
    return sa.Column(name, kind, nullable=False, server_default=sa.text(default))


def _sum(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.Numeric, nullable=False, server_default=sa.text("0"))


def _text(name: str, default: str | None = None) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=default is None, server_default=default)


llm_requests = sa.Table(
    "llm_requests",
    metadata,
    sa.Column("id", UUID, primary_key=True, server_default=sa.text("llmreq_uuid7()")),
    _time("scheduled_at", default=True),
    _time("claimed_at"),
    _time("created_at", default=True),
    _time("updated_at", default=True),
    _time("completed_at"),
    _time("published_at"),
    _time("expires_at"),
    _time("cancel_requested_at"),
    sa.Column("worker_id", sa.BigInteger),
    _count("input_tokens"),
    _count("output_tokens"),
    _count("cache_read_tokens"),
    _count("cache_write_tokens"),
    _count("reasoning_tokens"),
    sa.Column("estimated_tokens", sa.BigInteger),
    sa.Column("hold_tokens", sa.BigInteger),
    _count("claim_seq", sa.Integer),
    sa.Column("budget_id", sa.Integer),
    sa.Column("input_bytes", sa.Integer),
    sa.Column("output_cap", sa.Integer),
    sa.Column("held_input_tokens", sa.Integer),
    sa.Column("held_output_tokens", sa.Integer),
    sa.Column("pages", sa.Integer),
    sa.Column("pages_done", sa.Integer),
    sa.Column("pages_failed", sa.Integer),
    sa.Column("route_id", sa.Integer),
    _count("timeout_seconds", sa.Integer, "30"),
    _count("attempts", sa.SmallInteger),
    _count("max_attempts", sa.SmallInteger, "3"),
    _count("rescues", sa.SmallInteger),
    _count("route_position", sa.SmallInteger, "1"),
    _count("priority", sa.SmallInteger, "5"),
    sa.Column("allow_text", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("unpriced", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("writes_cache", sa.Boolean, nullable=False, server_default=sa.false()),
    _text("status", "pending"),
    _text("wait_reason"),
    _text("lane"),
    _text("provider"),
    _text("model"),
    _text("service_tier"),
    _text("pages_lane"),
    sa.Column("hold_usd", sa.Numeric),
    sa.Column("cost_usd", sa.Numeric, server_default=sa.text("0")),
    _text("error_code"),
    _text("error_message"),
    sa.Column("error_details", JSONB),
    sa.Column("validation_errors", JSONB),
    sa.Column("repairs", JSONB),
    sa.Column("brief", JSONB),
    sa.Column("merge_report", JSONB),
    sa.Column("parsed_response", JSONB),
    _text("response"),
    _text("tenant_id", "default"),
    _text("agent_id", "default"),
    _text("task_type", "general"),
    _text("complexity", "medium"),
    _text("kind", "chat"),
    _text("quality"),
    _text("agent_name"),
    sa.Column("agent_version", sa.Integer),
    _text("merge_strategy"),
    _text("execution"),
    _text("dedupe_key"),
    sa.Column("parent_id", UUID),
    sa.Column("page", sa.Integer),
    sa.Column("run_id", UUID),
    sa.Column("document_id", UUID),
    sa.Column("chunk_id", UUID),
    sa.Column("params", JSONB),
    sa.Column("tool_choice", JSONB),
    sa.Column("tools", JSONB),
    sa.Column("response_schema", JSONB),
    sa.Column("context", JSONB, nullable=False, server_default=sa.text("'{}'")),
    sa.Column("messages", JSONB),
    _text("content"),
    _text("on_unavailable", "wait"),
    _text("on_overflow"),
    sa.Column("agent_ref", sa.Integer),
    sa.Column("page_start", sa.Integer),
    sa.Column("page_end", sa.Integer),
)

_pending = sa.text("status = 'pending' AND budget_id IS NULL")
_requests = llm_requests.c
sa.Index(
    "llm_requests_pending_idx",
    _requests.lane,
    _requests.tenant_id,
    _requests.priority,
    _requests.scheduled_at,
    _requests.id,
    postgresql_where=_pending,
)
sa.Index(
    "llm_requests_budget_idx",
    _requests.budget_id,
    _requests.priority,
    _requests.scheduled_at,
    _requests.id,
    postgresql_where=sa.text("status = 'pending' AND budget_id IS NOT NULL"),
)
sa.Index(
    "llm_requests_created_idx",
    _requests.created_at,
    postgresql_using="brin",
    postgresql_with={"pages_per_range": 32, "autosummarize": True},
)
sa.Index(
    "llm_requests_processing_idx", _requests.worker_id, postgresql_where=sa.text("status = 'processing'")
)
sa.Index(
    "llm_requests_cancel_idx",
    _requests.worker_id,
    postgresql_where=sa.text("status = 'processing' AND cancel_requested_at IS NOT NULL"),
)
sa.Index(
    "llm_requests_on_unavailable_idx",
    _requests.lane,
    postgresql_where=sa.text("status = 'pending' AND on_unavailable <> 'wait'"),
)
sa.Index("llm_requests_failed_idx", _requests.completed_at, postgresql_where=sa.text("status = 'failed'"))
sa.Index(
    "llm_requests_expires_idx",
    _requests.expires_at,
    postgresql_where=sa.text("status = 'pending' AND expires_at IS NOT NULL"),
)
sa.Index(
    "llm_requests_parent_idx",
    _requests.parent_id,
    _requests.page,
    postgresql_where=sa.text("parent_id IS NOT NULL"),
)
sa.Index(
    "llm_requests_open_pages_idx",
    _requests.parent_id,
    postgresql_where=sa.text("parent_id IS NOT NULL AND status IN ('pending','processing','waiting')"),
)
sa.Index(
    "llm_requests_dedupe_idx",
    _requests.tenant_id,
    _requests.dedupe_key,
    unique=True,
    postgresql_where=sa.text("dedupe_key IS NOT NULL"),
)

llm_attempts = sa.Table(
    "llm_attempts",
    metadata,
    sa.Column("request_id", UUID, primary_key=True),
    sa.Column("claim_seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("claimed_at", TIMESTAMP(timezone=True), primary_key=True),
    _time("settled_at", default=True),
    sa.Column("worker_id", sa.BigInteger, nullable=False),
    sa.Column("input_tokens", sa.BigInteger),
    sa.Column("cache_read_tokens", sa.BigInteger),
    sa.Column("cache_write_5m_tokens", sa.BigInteger),
    sa.Column("cache_write_1h_tokens", sa.BigInteger),
    sa.Column("output_tokens", sa.BigInteger),
    sa.Column("reasoning_tokens", sa.BigInteger),
    sa.Column("estimated_tokens", sa.BigInteger),
    sa.Column("attempt", sa.SmallInteger, nullable=False),
    sa.Column("accepted", sa.Boolean, nullable=False),
    sa.Column("http_status", sa.SmallInteger),
    sa.Column("latency_ms", sa.Integer),
    sa.Column("price_id", sa.Integer),
    sa.Column("run_id", UUID),
    sa.Column("parent_id", UUID),
    sa.Column("cost_usd", sa.Numeric),
    *(
        sa.Column(name, sa.Text, nullable=False)
        for name in (
            "cost_basis",
            "outcome",
            "tenant_id",
            "agent_id",
            "task_type",
            "kind",
            "lane",
            "provider",
            "model",
        )
    ),
    _text("provider_model"),
    _text("provider_request_id"),
    _text("finish_reason"),
    _text("error_message"),
    sa.Column("validation_errors", JSONB),
    sa.Column("repairs", JSONB),
    _text("service_tier"),
    sa.Column("ceiling_usd", sa.Numeric),
    sa.Column("bound_tokens", sa.BigInteger),
    sa.Column("estimated_input_tokens", sa.BigInteger),
    sa.Column("estimated_output_tokens", sa.BigInteger),
    postgresql_partition_by="RANGE (claimed_at)",
)

sa.Index(
    "llm_attempts_run_idx",
    llm_attempts.c.run_id,
    llm_attempts.c.claimed_at,
    postgresql_where=sa.text("run_id IS NOT NULL"),
)

llm_lanes = sa.Table(
    "llm_lanes",
    metadata,
    sa.Column("lane", sa.Text, primary_key=True),
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("paused", sa.Boolean, nullable=False, server_default=sa.false()),
    _count("in_flight", sa.Integer),
    sa.Column("max_in_flight", sa.Integer),
    sa.Column("requests_per_minute", sa.Numeric),
    sa.Column("tokens_per_minute", sa.Numeric),
    sa.Column("safety_margin", sa.Numeric, nullable=False, server_default=sa.text("0.9")),
    sa.Column("burst_seconds", sa.Numeric, nullable=False, server_default=sa.text("5")),
    sa.Column("request_level", sa.Double),
    sa.Column("token_level", sa.Double),
    _time("refilled_at"),
    _time("blocked_until"),
    _text("block_reason"),
    _text("block_message"),
    _count("consecutive_failures", sa.Integer),
    _count("breaker_opened", sa.Integer),
    _text("tenant_cursor", ""),
    _time("created_at", default=True),
    _time("updated_at", default=True),
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
    _count("turns"),
)

llm_tenants = sa.Table(
    "llm_tenants",
    metadata,
    sa.Column("tenant_id", sa.Text, primary_key=True),
    sa.Column("weight", sa.Numeric, nullable=False, server_default=sa.text("1")),
    sa.Column("paused", sa.Boolean, nullable=False, server_default=sa.false()),
    _time("created_at", default=True),
    _time("updated_at", default=True),
)

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
    _time("low", required=True),
    sa.Column("low_id", UUID, nullable=False),
    _time("walked_at", required=True),
    _time("moved_at", required=True),
    prefixes=["UNLOGGED"],
)

llm_routes = sa.Table(
    "llm_routes",
    metadata,
    sa.Column("id", sa.Integer, sa.Identity(always=True), primary_key=True),
    _text("task_type"),
    _text("complexity"),
    _text("quality"),
    sa.Column("candidates", ARRAY(sa.Text), nullable=False),
    sa.Column("enabled", sa.Boolean, nullable=False, server_default=sa.true()),
    _text("note"),
    _time("created_at", default=True),
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

llm_prices = sa.Table(
    "llm_prices",
    metadata,
    sa.Column("id", sa.Integer, sa.Identity(always=True), primary_key=True),
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    _time("valid_from", required=True),
    _count("min_prompt_tokens"),
    _text("service_tier", "standard"),
    sa.Column("batch", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("input_usd_per_mtok", sa.Numeric),
    sa.Column("cache_read_usd_per_mtok", sa.Numeric),
    sa.Column("cache_write_5m_usd_per_mtok", sa.Numeric),
    sa.Column("cache_write_1h_usd_per_mtok", sa.Numeric),
    sa.Column("output_usd_per_mtok", sa.Numeric),
    sa.Column("source", sa.Text, nullable=False),
    _time("created_at", default=True),
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

llm_workers = sa.Table(
    "llm_workers",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    _text("state", "alive"),
    sa.Column("providers", ARRAY(sa.Text), nullable=False),
    sa.Column("unusable", JSONB, nullable=False, server_default=sa.text("'{}'")),
    sa.Column("concurrency", sa.Integer, nullable=False),
    _count("in_flight", sa.Integer),
    sa.Column("lease_seconds", sa.Numeric, nullable=False),
    _time("started_at", default=True),
    _time("heartbeat_at", default=True),
    _time("lease_until", required=True),
    sa.Column("idle", sa.Boolean, nullable=False, server_default=sa.false()),
)

llmreq_meta = sa.Table(
    "llmreq_meta",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
    _time("updated_at", default=True),
)

llm_budgets = sa.Table(
    "llm_budgets",
    metadata,
    sa.Column("id", sa.Integer, sa.Identity(always=True), primary_key=True),
    sa.Column("scope", sa.Text, nullable=False),
    _text("subject", ""),
    sa.Column("period", sa.Text, nullable=False),
    sa.Column("limit_usd", sa.Numeric),
    sa.Column("limit_tokens", sa.BigInteger),
    _text("on_exhausted", "wait"),
    sa.Column("warn_at", ARRAY(sa.Numeric), nullable=False, server_default=sa.text("'{0.8}'")),
    sa.Column("period_start", TIMESTAMP(timezone=True), nullable=False, server_default=sa.text("'epoch'")),
    _sum("spent_usd"),
    _sum("held_usd"),
    _count("spent_tokens"),
    _count("held_tokens"),
    _sum("warned"),
    sa.Column("waiting", sa.Boolean, nullable=False, server_default=sa.false()),
    _sum("needs_usd"),
    _count("needs_tokens"),
    _time("created_at", default=True),
    _time("updated_at", default=True),
)
sa.Index(
    "llm_budgets_subject_idx",
    llm_budgets.c.scope,
    llm_budgets.c.subject,
    llm_budgets.c.period,
    unique=True,
)
sa.Index("llm_budgets_waiting_idx", llm_budgets.c.id, postgresql_where=sa.text("waiting"))

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
        _count(name)
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
    *(_sum(name) for name in ("cost_usd", "failed_usd", "upper_bound_usd", "ceiling_usd")),
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
    _time("updated_at", default=True),
)

llm_events = sa.Table(
    "llm_events",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    _time("created_at", default=True),
    _time("announced_at"),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("details", JSONB, nullable=False, server_default=sa.text("'{}'")),
)
sa.Index("llm_events_unannounced_idx", llm_events.c.id, postgresql_where=sa.text("announced_at IS NULL"))
sa.Index("llm_events_subject_idx", llm_events.c.kind, llm_events.c.subject)

llm_agents = sa.Table(
    "llm_agents",
    metadata,
    sa.Column("id", sa.Integer, sa.Identity(always=True), primary_key=True),
    _text("tenant_id", "default"),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    _text("description"),
    sa.Column("system_prompt", sa.Text, nullable=False),
    sa.Column("output_schema", JSONB),
    _text("task_type"),
    _text("provider"),
    _text("model"),
    _text("quality"),
    sa.Column("params", JSONB),
    _count("chunk_tokens", sa.Integer, "3000"),
    _count("overlap_tokens", sa.Integer),
    _text("chunk_by", "text"),
    _text("merge_strategy"),
    _text("execution", "parallel"),
    _text("on_page_failure", "fail"),
    sa.Column("context_tokens", sa.Integer),
    _text("on_overflow", "paginate"),
    sa.Column("max_output_tokens", sa.Integer),
    _time("retired_at"),
    _time("created_at", default=True),
)
sa.Index(
    "llm_agents_version_idx",
    llm_agents.c.name,
    llm_agents.c.tenant_id,
    llm_agents.c.version,
    unique=True,
)

llm_models = sa.Table(
    "llm_models",
    metadata,
    sa.Column("provider", sa.Text, primary_key=True),
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("context_tokens", sa.Integer, nullable=False),
    sa.Column("max_output_tokens", sa.Integer),
    sa.Column("source", sa.Text, nullable=False),
    _time("created_at", default=True),
)
