"""One connection of a permutation: a statement is sent, and later one asks whether its answer is there."""

from __future__ import annotations

import select
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from psycopg import pq

Row = Mapping[str, str | None]
"""As Postgres writes it: every value a text."""

_GOOD = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one statement: its rows, or an error with its SQLSTATE."""

    rows: Sequence[Row] = ()
    sqlstate: str | None = None
    message: str = ""


@dataclass
class Session:
    """libpq itself, because a thread that waits in a driver cannot be asked what it waits for."""

    url: str
    name: str
    answer: Answer | None = field(default=None, init=False)
    _busy: bool = field(default=False, init=False)
    _now: datetime | None = field(default=None, init=False)
    _deadlock_ms: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._pg = pq.PGconn.connect(self.url.encode())
        assert self._pg.status == pq.ConnStatus.OK, self._pg.get_error_message()
        self.pid = self._pg.backend_pid

    def close(self) -> None:
        """Close the connection; what it was doing is rolled back."""
        self._pg.finish()

    def fileno(self) -> int:
        """For select."""
        return self._pg.socket

    @property
    def busy(self) -> bool:
        """Whether a statement is under way."""
        return self._busy

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open, failed or not."""
        return self._pg.transaction_status in (pq.TransactionStatus.INTRANS, pq.TransactionStatus.INERROR)

    def send(self, sql: str, parameters: Sequence[object] = ()) -> None:
        """Start a statement with $1, $2 … in it; returns at once."""
        assert not self._busy, f"{self.name} has not answered yet"
        self._busy, self.answer = True, None
        values = [None if each is None else str(each).encode() for each in parameters]
        self._pg.send_query_params(sql.encode(), values)

    def poll(self) -> bool:
        """Take in what has come; True once the answer is whole."""
        while self._busy:
            self._pg.consume_input()
            if self._pg.is_busy():
                return False
            result = self._pg.get_result()
            if result is None:
                self._busy = False
            else:
                self.answer = _read(result)
        return True

    def set_clock(self, now: datetime) -> None:
        """Let it see this time, until it is told another one."""
        if self._now != now:
            self.run("SELECT set_config('llmreq.now', $1, false)", now.isoformat())
            self._now = now

    def set_deadlock_timeout(self, milliseconds: int) -> None:
        """How long it waits for a lock before it looks for a deadlock."""
        if self._deadlock_ms != milliseconds and not self._busy and not self.in_transaction:
            self.run(f"SET deadlock_timeout = '{milliseconds}ms'")
            self._deadlock_ms = milliseconds

    def run(self, sql: str, *parameters: object) -> Answer:
        """Start a statement and wait for its answer."""
        self.send(sql, parameters)
        while not self.poll():
            readable((self,), 10)
        assert self.answer is not None
        return self.answer


def readable(sessions: Iterable[Session], seconds: float) -> None:
    """Return when one of them has something to say, or when the time is over."""
    select.select(list(sessions), [], [], seconds)


def _read(result: pq.abc.PGresult) -> Answer:
    if result.status not in _GOOD:
        state = result.error_field(pq.DiagnosticField.SQLSTATE)
        primary = result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY)
        detail = result.error_field(pq.DiagnosticField.MESSAGE_DETAIL)
        context = result.error_field(pq.DiagnosticField.CONTEXT)
        message = b": ".join(part for part in (primary, detail, context) if part).decode(errors="replace")
        return Answer((), (state or b"08006").decode(), message)
    names = [(result.fname(n) or b"").decode() for n in range(result.nfields)]
    return Answer([
        {name: _text(result.get_value(row, column)) for column, name in enumerate(names)}
        for row in range(result.ntuples)
    ])  # fmt: skip


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()
