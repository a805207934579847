"""Where permutations are played: a database, an empty queue on it, sessions, and one that watches whom each waits for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tests.engine.queue import START, Queue
from tests.engine.replay import count_ids, empty_tables
from tests.permutations.books import Books
from tests.permutations.drain import drain
from tests.permutations.orders import Order
from tests.permutations.play import Play
from tests.permutations.session import Row, Session
from tests.permutations.step import Played
from tests.permutations.stops import STOP, Stops
from tests.permutations.verbs import Claim, Verb, claim, claims_of, finish, insert

DEADLOCK_MS = 20
"""Soon, so that a deadlock shows as one, and not as an engine's lock time-out."""

PRODUCTION_DEADLOCK_MS = 1000
"""Postgres's own. For a statement that somebody writes by hand over many rows, in whatever order it meets them: the
engine's lock time-outs are shorter, so it is the engine that gives way."""


class Document(NamedTuple):
    """A paginated request and its pages, in order."""

    id: str
    pages: list[str]


class Stage:
    """A database, the sessions that play on it, and one that watches whom each of them waits for."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.queue = Queue.open(url)
        self.queue.run("SET lock_timeout = '5s'")
        self._tables = empty_tables(self.queue)
        self.queue.run(
            "INSERT INTO llm_agents (tenant_id, name, system_prompt, chunk_tokens) VALUES ('*', 'whole', 'Read.', 400)"
        )
        self.books = Books()
        self.stops = Stops(self.queue, self._tables)
        count_ids(self.queue)
        self._deadlocks = 0
        self._deadlock_ms = DEADLOCK_MS
        self._watcher = Session(url, "watcher")
        self._sessions: dict[str, Session] = {}

    def close(self) -> None:
        """Close every connection."""
        for session in (*self._sessions.values(), self._watcher):
            session.close()
        self.queue.connection.close()

    def clear(self) -> None:
        """Empty the queue. By DELETE: a TRUNCATE would have every session plan all of its statements anew."""
        # First the requests: those in flight are booked when they go.
        tables = ["llm_requests", *self._tables]
        self.queue.connection.execute("; ".join(f"DELETE FROM {table}" for table in tables).encode())
        self.queue.run("DELETE FROM llm_prices WHERE source = 'permutations'")
        self.queue.run("ALTER SEQUENCE counted_ids RESTART")
        self.queue.set_clock(START)
        self.books = Books()

    def insert(self, count: int = 1, **columns: object) -> list[str]:
        """Requests by a producer whom nobody disturbs; their ids, oldest first."""
        verb = insert(count, **columns)
        return sorted(str(row["id"]) for row in self._undisturbed(verb))

    def claim(self, worker: int, most: int = 10) -> list[Claim]:
        """What this worker is handed out while nobody else is there."""
        return claims_of(self._undisturbed(claim(worker, most)))

    def document(self, page_count: int = 3, **columns: str) -> Document:
        """A document that has been cut into pages, none of them called yet."""
        content = "A sentence. " * 400
        (id,) = self.insert(1, agent_name="whole", content=content, **columns)
        cutter = self.queue.worker("local/pages")
        (cut,) = self.claim(cutter)
        pages = [{"start": n * 1000, "end": (n + 1) * 1000, "tokens": 300} for n in range(page_count)]
        self._undisturbed(finish(cutter, cut, step="paginated", pages=pages))
        rows = self.queue.all("SELECT id FROM llm_requests WHERE parent_id = %s ORDER BY page", id)
        found = [str(row["id"]) for row in rows]
        self.books.inserted |= set(found)
        return Document(id, found)

    def price(self, provider: str, model: str) -> None:
        """A new price, dearer than the one before; from ever."""
        self.queue.run(
            "INSERT INTO llm_prices (provider, model, valid_from, input_usd_per_mtok, output_usd_per_mtok, source)"
            " SELECT %s, %s, '2020-01-01'::timestamptz + count(*) * interval '1 day', 1 + count(*), 2, 'permutations'"
            " FROM llm_prices WHERE source = 'permutations'",
            provider, model,
        )  # fmt: skip

    def request(self, id: str) -> dict[str, Any]:
        """A request as it stands."""
        return self.queue.one("SELECT * FROM llm_requests WHERE id = %s", id)

    def bookings(self, claim: Claim) -> list[dict[str, Any]]:
        """The ledger's rows of one claim."""
        return self.queue.all(
            "SELECT * FROM llm_attempts WHERE request_id = %s AND claim_seq = %s", claim.id, claim.claim_seq
        )

    def _undisturbed(self, verb: Verb) -> Sequence[Row]:
        session = self.session("alone")
        session.set_clock(self.queue.now)
        answer = session.run(verb.sql, *verb.parameters)
        assert answer.sqlstate is None, answer.message
        self.books.note(verb, answer)
        return answer.rows

    def drain(self) -> None:
        """Bring all that is open to its end."""
        drain(self.queue, self.books)

    def catch_up(self) -> None:
        """What a fleet does within seconds: counts new budgets, turns documents that were held, counts lanes."""
        self.queue.claim(self.queue.worker(), 0)
        self.queue.one("SELECT llmreq_sweep_pages()")
        self.queue.one("SELECT llmreq_tidy()")

    def check(self) -> None:
        """What holds at any time, between transactions, once the fleet has caught up."""
        self.catch_up()
        before, self._deadlocks = self._deadlocks, self._count_deadlocks()
        assert self._deadlocks == before, "there was a deadlock, and a function caught its error"
        self.books.check(self.queue)

    def _count_deadlocks(self) -> int:
        for session in self.sessions():
            session.run("SELECT pg_stat_force_next_flush()")
        counted = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        return int(self.queue.one(counted)["deadlocks"])

    def check_idle(self) -> None:
        """What holds when all has ended."""
        self.check()
        self.books.check_idle(self.queue)

    def session(self, name: str) -> Session:
        """The session of that name; its deadlocks show after the time that the play says."""
        if name not in self._sessions:
            self._sessions[name] = Session(self.url, name)
        self._sessions[name].set_deadlock_timeout(self._deadlock_ms)
        return self._sessions[name]

    def discard(self, session: Session) -> None:
        """End a session whatever it does."""
        self.queue.one("SELECT pg_terminate_backend(%s, 5000)", session.pid)
        self._sessions.pop(session.name).close()

    def sessions(self) -> list[Session]:
        """Every session so far."""
        return list(self._sessions.values())

    def blockers(self, sessions: Sequence[Session]) -> dict[str, set[str]]:
        """For each of these sessions, those that it waits for at this moment."""
        pids = "{" + ",".join(str(each.pid) for each in sessions) + "}"
        rows = self._watcher.run(
            "SELECT pid, unnest(pg_blocking_pids(pid)) AS by FROM unnest($1::integer[]) AS pid", pids
        ).rows
        found: dict[str, set[str]] = {each.name: set() for each in sessions}
        for row in rows:
            found[self._name_of(int(row["pid"] or 0))].add(self._name_of(int(row["by"] or 0)))
        return found

    def _name_of(self, pid: int) -> str:
        if pid == self.stops.pid:
            return STOP
        return next((name for name, each in self._sessions.items() if each.pid == pid), f"pid {pid}")

    def play(self, order: Order, verbs: Mapping[str, Verb], *, deadlock_ms: int = DEADLOCK_MS) -> Played:
        """Take these steps; then nothing is open any more. AssertionError tells the story, if a rule was broken."""
        self._deadlock_ms = deadlock_ms
        play = Play(self, verbs)
        try:
            play.run(order)
        finally:
            play.end()
        problem = play.played.problem()
        if problem is not None:
            self._deadlocks = self._count_deadlocks()  # told already
        assert problem is None, f"{problem}\n{play.played}"
        return play.played
