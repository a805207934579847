"""The tables of requests and the ledger of their attempts."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TIMESTAMP, UUID

from llmreq.database.schema.columns import count, metadata, text, time

llm_requests = sa.Table(
    "llm_requests",
    metadata,
    sa.Column("id", UUID, primary_key=True, server_default=sa.text("llmreq_uuid7()")),
    time("scheduled_at", default=True),
    time("claimed_at"),
    time("created_at", default=True),
    time("updated_at", default=True),
    time("completed_at"),
    time("published_at"),
    time("expires_at"),
    time("cancel_requested_at"),
    sa.Column("worker_id", sa.BigInteger),
    count("input_tokens"),
    count("output_tokens"),
    count("cache_read_tokens"),
    count("cache_write_tokens"),
    count("reasoning_tokens"),
    sa.Column("estimated_tokens", sa.BigInteger),
    sa.Column("hold_tokens", sa.BigInteger),
    count("claim_seq", sa.Integer),
    sa.Column("budget_id", sa.Integer),
    sa.Column("input_bytes", sa.Integer),
    sa.Column("output_cap", sa.Integer),
    sa.Column("held_input_tokens", sa.Integer),
    sa.Column("held_output_tokens", sa.Integer),
    sa.Column("pages", sa.Integer),
    sa.Column("pages_done", sa.Integer),
    sa.Column("pages_failed", sa.Integer),
    sa.Column("route_id", sa.Integer),
    count("timeout_seconds", sa.Integer, "30"),
    count("attempts", sa.SmallInteger),
    count("max_attempts", sa.SmallInteger, "3"),
    count("rescues", sa.SmallInteger),
    count("route_position", sa.SmallInteger, "1"),
    count("priority", sa.SmallInteger, "5"),
    sa.Column("allow_text", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("unpriced", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("writes_cache", sa.Boolean, nullable=False, server_default=sa.false()),
    text("status", "pending"),
    text("wait_reason"),
    text("lane"),
    text("provider"),
    text("model"),
    text("service_tier"),
    text("pages_lane"),
    sa.Column("hold_usd", sa.Numeric),
    sa.Column("cost_usd", sa.Numeric, server_default=sa.text("0")),
    text("error_code"),
    text("error_message"),
    sa.Column("error_details", JSONB),
    sa.Column("validation_errors", JSONB),
    sa.Column("repairs", JSONB),
    sa.Column("brief", JSONB),
    sa.Column("merge_report", JSONB),
    sa.Column("parsed_response", JSONB),
    text("response"),
    text("tenant_id", "default"),
    text("agent_id", "default"),
    text("task_type", "general"),
    text("complexity", "medium"),
    text("kind", "chat"),
    text("quality"),
    text("agent_name"),
    sa.Column("agent_version", sa.Integer),
    text("merge_strategy"),
    text("execution"),
    text("dedupe_key"),
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
    text("content"),
    text("on_unavailable", "wait"),
    text("on_overflow"),
    sa.Column("agent_ref", sa.Integer),
    sa.Column("page_start", sa.Integer),
    sa.Column("page_end", sa.Integer),
    sa.Column("images", sa.Integer),
    sa.Column("choices", sa.Integer),
    text("unbounded"),
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
_waiting = sa.text("status = 'pending' AND budget_id IS NOT NULL")
sa.Index(
    "llm_requests_budget_idx",
    _requests.budget_id,
    _requests.tenant_id,
    _requests.priority,
    _requests.scheduled_at,
    _requests.id,
    postgresql_where=_waiting,
)
sa.Index(
    "llm_requests_budget_usd_idx",
    _requests.budget_id,
    _requests.tenant_id,
    _requests.hold_usd,
    postgresql_where=_waiting,
)
sa.Index(
    "llm_requests_budget_tokens_idx",
    _requests.budget_id,
    _requests.tenant_id,
    _requests.hold_tokens,
    postgresql_where=_waiting,
)
sa.Index(
    "llm_requests_ended_idx",
    _requests.completed_at,
    postgresql_where=sa.text("status IN ('completed','cancelled')"),
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

llm_turns = sa.Table(
    "llm_turns",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("parent_id", UUID, nullable=False),
)

llm_dedupe_keys = sa.Table(
    "llm_dedupe_keys",
    metadata,
    sa.Column("tenant_id", sa.Text, primary_key=True),
    sa.Column("dedupe_key", sa.Text, primary_key=True),
)

llm_attempts = sa.Table(
    "llm_attempts",
    metadata,
    sa.Column("request_id", UUID, primary_key=True),
    sa.Column("claim_seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("claimed_at", TIMESTAMP(timezone=True), primary_key=True),
    time("settled_at", default=True),
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
    text("provider_model"),
    text("provider_request_id"),
    text("finish_reason"),
    text("error_message"),
    sa.Column("validation_errors", JSONB),
    sa.Column("repairs", JSONB),
    text("service_tier"),
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

llm_workers = sa.Table(
    "llm_workers",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    text("state", "alive"),
    sa.Column("providers", ARRAY(sa.Text), nullable=False),
    sa.Column("unusable", JSONB, nullable=False, server_default=sa.text("'{}'")),
    sa.Column("concurrency", sa.Integer, nullable=False),
    count("in_flight", sa.Integer),
    sa.Column("lease_seconds", sa.Numeric, nullable=False),
    time("started_at", default=True),
    time("heartbeat_at", default=True),
    time("lease_until", required=True),
    sa.Column("idle", sa.Boolean, nullable=False, server_default=sa.false()),
)

llmreq_meta = sa.Table(
    "llmreq_meta",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
    time("updated_at", default=True),
)
