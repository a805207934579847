"""The tables of stored agents and models."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from llmreq.database.schema.columns import count, metadata, text, time

llm_agents = sa.Table(
    "llm_agents",
    metadata,
    sa.Column("id", sa.Integer, sa.Identity(always=True), primary_key=True),
    text("tenant_id", "default"),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    text("description"),
    sa.Column("system_prompt", sa.Text, nullable=False),
    sa.Column("output_schema", JSONB),
    text("task_type"),
    text("provider"),
    text("model"),
    text("quality"),
    sa.Column("params", JSONB),
    count("chunk_tokens", sa.Integer, "3000"),
    count("overlap_tokens", sa.Integer),
    text("chunk_by", "text"),
    text("merge_strategy"),
    text("execution", "parallel"),
    text("on_page_failure", "fail"),
    sa.Column("context_tokens", sa.Integer),
    text("on_overflow", "paginate"),
    sa.Column("max_output_tokens", sa.Integer),
    time("retired_at"),
    time("created_at", default=True),
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
    time("created_at", default=True),
)
