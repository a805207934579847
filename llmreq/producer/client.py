"""The blocking client."""

from __future__ import annotations

import builtins
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from typing import Any, Self, TypeVar, Unpack
from uuid import UUID

import psycopg

from llmreq.agent.definition import AgentDefinition
from llmreq.database.connection import connect, database_url
from llmreq.producer import agents, steps, waiting
from llmreq.producer.agents import StoredAgent
from llmreq.producer.borrowed import Borrowable, borrow, must_commit
from llmreq.producer.columns import NewRequest, agent_request, brief_request
from llmreq.producer.drive import drive
from llmreq.producer.request import Request
from llmreq.producer.step import Steps
from llmreq.producer.tool_loop import Functions, ToolRun, all_blocking, run_tools
from llmreq.settings import load_settings

T = TypeVar("T")


class Client:
    """Puts requests into the queue and reads their answers. Safe to share between threads.

    `url`: a Postgres URL; None takes LLMREQ_DATABASE_URL, else the embedded server.
    `connection`: instead of it, a psycopg connection or a SQLAlchemy Connection or Session; nothing is
    committed here then. Raises DatabaseUnavailableError.
    """

    def __init__(self, url: str | None = None, *, connection: Borrowable | None = None) -> None:
        self._url = url
        self._borrowed = connection
        self._own: psycopg.Connection[Any] | None = None
        self._turn = threading.Lock()
        self._watch = waiting.Watch()

    def enqueue(self, *, connection: Borrowable | None = None, **request: Unpack[NewRequest]) -> UUID:
        """Insert one request, in the caller's transaction if its `connection` is given; returns its id.

        With a `dedupe_key` that the tenant has used, the id of that request. Raises InvalidRequestError.
        """
        return self.run(steps.enqueue(request), connection)

    def enqueue_many(
        self, requests: Iterable[NewRequest | Mapping[str, Any]], *, connection: Borrowable | None = None
    ) -> builtins.list[UUID]:
        """COPY requests, all or none; ids in the order given. For millions: call it per 10,000."""
        return self.run(steps.enqueue_many(requests), connection)

    def get(self, id: UUID) -> Request:
        """The request as it is now. Raises InvalidRequestError when there is none."""
        return self.run(steps.get(id))

    def wait(self, id: UUID, timeout_seconds: float = 60.0, *, raise_on_failure: bool = False) -> Request:
        """The request once it has ended. Raises TimeoutError, and RequestFailedError only if asked to."""
        return self.wait_all([id], timeout_seconds, raise_on_failure=raise_on_failure)[0]

    def wait_all(
        self, ids: Sequence[UUID], timeout_seconds: float = 60.0, *, raise_on_failure: bool = False
    ) -> builtins.list[Request]:
        """All these requests once they have ended, in the order given; one query looks after all."""
        ended = self.run(waiting.wait_all(self._watch, ids, timeout_seconds))
        if raise_on_failure:
            for request in ended:
                request.raise_for_status()
        return ended

    def stream(self, ids: Iterable[UUID], timeout_seconds: float = 60.0) -> Iterator[Request]:
        """Each of these requests once it has ended, in the order of their ends; one query looks after all.

        Those already ended come first. Raises TimeoutError when some have not ended by then.
        """
        with closing(waiting.stream(self._watch, ids, timeout_seconds)) as plans:
            for plan in plans:
                yield from self.run(plan)

    def ask(
        self,
        request: NewRequest | Mapping[str, Any],
        response_model: type[T],
        *,
        timeout_seconds: float = 60.0,
    ) -> T:
        """Enqueue, wait, and give the answer as an instance of a Pydantic model class or a dataclass.

        Raises TimeoutError (the request stays), RequestFailedError, InvalidRequestError.
        """
        self._must_commit()
        return self.run(waiting.ask(self._watch, request, response_model, timeout_seconds))

    def run_tools(
        self,
        request: NewRequest | Mapping[str, Any],
        tools: Functions,
        *,
        max_turns: int = 8,
        timeout_seconds: float = 300.0,
    ) -> ToolRun:
        """Ask, call the functions that the model asks for, ask again with their results, until it answers.

        `tools`: functions by name. Names, docstrings and annotations define them to the model, unless the
        request's own `tools` does. What a function raises is told to the model.
        Each turn is a row; all have one `run_id`. Raises TimeoutError after `timeout_seconds` for all turns.
        """
        self._must_commit()
        blocking = all_blocking(tools)
        return self.run(run_tools(self._watch, request, blocking, max_turns, timeout_seconds))

    def store_agent(
        self, agent: AgentDefinition | Mapping[str, Any], *, tenant_id: str = "default"
    ) -> StoredAgent:
        """Save an agent as a new version (none if the newest is the same); `changes` tells what readers must know.

        `tenant_id` '*' is every tenant's. Raises InvalidRequestError.
        """
        return self.run(agents.store_agent(agent, tenant_id))

    def process_with_agent(
        self,
        tenant_id: str,
        agent_name: str,
        content: str,
        *,
        agent_version: int | None = None,
        connection: Borrowable | None = None,
        **request: Any,
    ) -> UUID:
        """Run a stored agent on a text of any length; returns the request's id. Long texts become pages by themselves.

        `request`: further columns, as of `enqueue`.
        """
        columns = agent_request(tenant_id, agent_name, content, agent_version, request)
        return self.run(steps.enqueue(columns), connection)

    def brief(
        self,
        turns: Sequence[Mapping[str, Any]] | str,
        max_tokens: int = 500,
        *,
        wait_seconds: float = 120.0,
        **request: Any,
    ) -> dict[str, Any]:
        """A running brief of conversation turns, never above `max_tokens`; a concatenation where no model can be had.

        `{"brief", "used_tokens", "max_tokens", "remaining_tokens", "overflow", "summarizations", "method"}`.
        Raises RequestFailedError and TimeoutError.
        """
        id = self.run(steps.enqueue(brief_request(turns, max_tokens, request)))
        ended = self.wait(id, wait_seconds, raise_on_failure=True)
        return dict(ended.parsed_response)

    def list(
        self,
        *,
        status: str | None = None,
        tenant_id: str | None = None,
        task_type: str | None = None,
        before: UUID | None = None,
        limit: int = 50,
        pages: bool = False,
    ) -> builtins.list[Request]:
        """The newest requests first, without the `pages` of documents unless asked; for more give the last id as `before`."""
        return self.run(steps.listing(status, tenant_id, task_type, before, limit, pages=pages))

    def cancel(self, id: UUID) -> str:
        """End a request; its status after that (`processing` while its worker cuts the call)."""
        return self.run(steps.cancel(id))

    def retry(self, id: UUID) -> str:
        """Begin a failed or cancelled request again; its status after that."""
        return self.run(steps.retry(id))

    def retry_failed(
        self, *, error_code: str | None = None, tenant_id: str | None = None
    ) -> builtins.list[UUID]:
        """Begin every failed request again; the ids that are pending now."""
        return self.run(steps.retry_failed(error_code, tenant_id))

    def close(self) -> None:
        """Close the client's own connection. It opens again when needed."""
        own, self._own = self._own, None
        if own is not None:
            own.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, plan: Steps[T], connection: Borrowable | None = None) -> T:
        """Run one of the plans of steps.py."""
        given = connection if connection is not None else self._borrowed
        return drive(plan, self._connected if given is None else lambda: nullcontext(borrow(given)))

    def _must_commit(self) -> None:
        if self._borrowed is not None:
            must_commit(borrow(self._borrowed))

    @contextmanager
    def _connected(self) -> Iterator[psycopg.Connection[Any]]:
        """The client's own connection, for one thread at a time: a COPY must not meet another's statement."""
        with self._turn:
            if self._own is None or self._own.closed:
                url = self._url or database_url(load_settings())
                self._own = connect(url, application_name="llmreq client")
            yield self._own
