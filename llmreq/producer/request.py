"""A request's row as Python sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

from llmreq.errors import ErrorCode, InvalidRequestError, RequestFailedError
from llmreq.producer.plain_types import MisfitError
from llmreq.producer.typed import answer_type

T = TypeVar("T")

ENDED = frozenset({"completed", "failed", "cancelled"})
"""Statuses that only a retry leaves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One row of `llm_requests`, column for column: what was asked, what came back, what it cost.

    Token counts and `cost_usd` are sums over all attempts; `cost_usd` is None when one's price is unknown.
    """

    id: UUID
    status: str
    wait_reason: str | None
    lane: str | None
    provider: str | None
    model: str | None

    tenant_id: str
    agent_id: str
    task_type: str
    complexity: str
    kind: str
    quality: str | None
    messages: list[dict[str, Any]] | None
    content: str | None
    context: dict[str, Any]
    response_schema: dict[str, Any] | bool | None
    allow_text: bool
    tools: list[dict[str, Any]] | None
    tool_choice: Any
    params: dict[str, Any] | None
    agent_name: str | None
    agent_version: int | None
    merge_strategy: str | None
    execution: str | None
    priority: int
    timeout_seconds: int
    max_attempts: int
    on_unavailable: str
    on_overflow: str | None
    dedupe_key: str | None
    parent_id: UUID | None
    page: int | None
    pages: int | None
    pages_done: int | None
    pages_failed: int | None
    run_id: UUID | None
    document_id: UUID | None
    chunk_id: UUID | None

    response: str | None
    parsed_response: Any
    validation_errors: list[dict[str, Any]] | None
    repairs: Any
    merge_report: dict[str, Any] | None
    brief: dict[str, Any] | None
    error_code: str | None
    error_message: str | None
    error_details: dict[str, Any] | None

    attempts: int
    rescues: int
    claim_seq: int
    worker_id: int | None
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    estimated_tokens: int | None
    hold_usd: Decimal | None
    cost_usd: Decimal | None

    scheduled_at: datetime
    expires_at: datetime | None
    claimed_at: datetime | None
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None
    published_at: datetime | None
    cancel_requested_at: datetime | None

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Request:
        """A row of `SELECT * FROM llm_requests`, of an older or a newer schema as well.

        Columns this version does not know are left out; those the table does not have yet keep their default.
        """
        return cls(**{field.name: row[field.name] for field in fields(cls) if field.name in row})

    @property
    def ended(self) -> bool:
        """Whether it is completed, failed or cancelled."""
        return self.status in ENDED

    @property
    def tool_calls(self) -> list[dict[str, Any]]:
        """The calls this answer asks for, each {"id","tool_name","params"}; empty for a final answer."""
        parsed = self.parsed_response
        # With tools only: the producer's own schema may have a property of this name.
        if not self.tools or not isinstance(parsed, dict) or set(parsed) != {"tool_calls", "final_response"}:
            return []
        return list(parsed["tool_calls"])

    def parsed_as(self, model: type[T]) -> T:
        """The answer as an instance of a Pydantic model class or a dataclass.

        Raises RequestFailedError: with the row's own code when it failed, with `schema_mismatch` when the
        answer is no such instance (a validator of the model's own, prose, tool calls), and
        InvalidRequestError while it has not ended.
        """
        self.raise_for_status()
        if not self.ended:
            raise InvalidRequestError(f"request {self.id} has not ended: it is {self.status}")
        if self.tool_calls:
            raise self._unfit(model, "it calls tools (run_tools answers them)")
        if self.parsed_response is None and (self.response or "").strip() != "null":
            raise self._unfit(model, "it is prose")
        try:
            read: T = answer_type(model).read(self.parsed_response)
        except MisfitError as error:
            details = {"errors": [{"field": each.field, "message": each.message} for each in error.misfits]}
            raise self._unfit(model, str(error), details) from None
        return read

    def _unfit(self, model: Any, why: str, details: dict[str, Any] | None = None) -> RequestFailedError:
        name = getattr(model, "__name__", str(model))
        message = f"the answer of request {self.id} is no {name}: {why}"
        return RequestFailedError(message, code=ErrorCode.SCHEMA_MISMATCH, details=details)

    def raise_for_status(self) -> None:
        """Raise RequestFailedError if it ended failed or cancelled; `code` is the row's."""
        if self.status == "cancelled":
            raise RequestFailedError(
                f"request {self.id} was cancelled", code=ErrorCode.INTERNAL, details={"status": "cancelled"}
            )
        if self.status == "failed":
            raise RequestFailedError(
                f"request {self.id} failed: {self.error_code}: {self.error_message}",
                code=_known_code(self.error_code),
                details=self.error_details,
            )


def _known_code(code: str | None) -> ErrorCode:
    try:
        return ErrorCode(code or "")
    except ValueError:  # written by a newer version
        return ErrorCode.INTERNAL
