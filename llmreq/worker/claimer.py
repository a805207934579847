"""Claims what can be sent now, and no more: nothing is prefetched, so nothing waits in a worker that may die."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import psycopg
import structlog

from llmreq.limits import (
    CLAIM_STOP_SECONDS,
    COUNTED_PAYLOAD_BYTES,
    PAYLOADS_IN_FLIGHT_BYTES,
    READ_SLICE_BYTES,
    RECONCILE_SECONDS,
    RECONCILE_WINDOW_SECONDS,
    UNSETTLED_FREE,
    UNSETTLED_FREE_BYTES,
)
from llmreq.worker import engine
from llmreq.worker.backlog import Key
from llmreq.worker.caller import Caller
from llmreq.worker.describe import describe
from llmreq.worker.engine import Taken
from llmreq.worker.fault import Fault, fault_of
from llmreq.worker.link import Link
from llmreq.worker.loop import Loop
from llmreq.worker.reader import read_slice
from llmreq.worker.settler import Settler
from llmreq.worker.unclaimable import Unclaimable

log = structlog.get_logger()

Connection = psycopg.AsyncConnection[Any]


@dataclass
class Claimer:
    """Polls every `poll_seconds`; at once again while the last batch was full and slots are free."""

    link: Link
    worker_id: Callable[[], int]
    caller: Caller
    settler: Settler
    poll_seconds: float
    batch_size: int
    concurrency: int
    tells_idle: Callable[[], bool] = lambda: False
    may_claim: Callable[[], bool] = lambda: True
    idle: bool = False
    _told_idle: bool | None = None
    _more_available: bool = False
    _reconcile_at: float = float("inf")
    _reconcile_until: float = 0.0
    _unread: dict[Key, Taken] = field(default_factory=dict)
    _large: dict[Key, int] = field(default_factory=dict)
    _unclaimable: Unclaimable = field(default_factory=Unclaimable)
    _unpriced: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._loop = Loop("claimer", self._turn)

    def start(self) -> None:
        self._loop.start()

    async def stop(self) -> None:
        await self._loop.stop(patience_seconds=CLAIM_STOP_SECONDS)
        await self.link.close()

    def ring(self) -> None:
        """New work was heard of: look at once."""
        self._loop.wake()

    def slot_freed(self) -> None:
        """A call ended. While the queue is known to hold more, the poll need not be waited for."""
        if self._more_available and self._free() >= min(self.batch_size, max(1, self.concurrency // 16)):
            self._loop.wake()

    def _free(self) -> int:
        if self.settler.backlog_bytes > UNSETTLED_FREE_BYTES:
            return 0
        unsettled = max(0, self.settler.backlog - UNSETTLED_FREE)
        return self.concurrency - self.caller.in_flight - unsettled - len(self._unread)

    async def _turn(self) -> float:
        began = monotonic()
        # What a broken turn left comes first: while it waits for memory, nothing more is claimed.
        leftover = bool(self._unread)
        wanted = 0 if leftover else min(self.batch_size, self._free())
        if not self.may_claim() or (wanted <= 0 and not leftover and began < self._reconcile_at):
            return self.poll_seconds
        try:
            async with self.link.use() as connection:
                taken = await self._claim(connection, wanted)
        except BaseException as error:
            if not isinstance(error, psycopg.Error) or error.sqlstate != engine.FENCED:
                self._reconcile_at, self._reconcile_until = 0.0, monotonic() + RECONCILE_WINDOW_SECONDS
                raise
            # The heart learns the same and comes back with a new identity; until then there is nothing to claim.
            self._unread.clear()
            self._told_idle = None
            return self.poll_seconds
        if wanted > 0:
            self._more_available, self.idle = len(taken) == wanted, not taken
        if not self._unread and (leftover or (self._more_available and self._free() > 0)):
            return 0.0
        # From poll to poll, whatever one takes.
        return max(self.poll_seconds / 2, self.poll_seconds - (monotonic() - began))

    async def _claim(self, connection: Connection, wanted: int) -> list[Taken]:
        """Find what we hold, claim what is wanted, and start the calls of both."""
        if monotonic() >= self._reconcile_at:
            await self._reconcile(connection)
        self._forget_known()
        taken = await self._take(connection, wanted) if wanted > 0 else []
        self._unread |= {(each.id, each.claim_seq): each for each in taken}
        self._warn_unpriced(taken)
        await self._start_unread(connection)
        if wanted > 0 and self.tells_idle():
            await self._tell(connection, full=len(taken) == wanted, empty=not taken)
        return taken

    async def _take(self, connection: Connection, wanted: int) -> list[Taken]:
        """Claim; row by row when one of the rows makes that raise, as a user's trigger or CHECK may."""
        skip = self._unclaimable.skip(monotonic())
        try:
            return await engine.claim(connection, self.worker_id(), wanted, skip)
        except psycopg.Error as error:
            of_a_row = (
                fault_of(error) in (Fault.STATEMENT, Fault.TRANSIENT) and error.sqlstate != engine.FENCED
            )
            if connection.closed or not of_a_row:
                raise
            log.warning("claim_refused", error=describe(error))
        taken, refused = await engine.claim_apart(connection, self.worker_id(), wanted, skip)
        for id in self._unclaimable.add(refused, monotonic()):
            log.error(
                "request_unclaimable",
                request_id=str(id),
                hint="a trigger or CHECK refuses every change of its row",
            )
        return taken

    async def _start_unread(self, connection: Connection) -> None:
        """Read and start what is claimed, as far as there is memory for it; the rest as calls end."""
        while self._unread and (room := self._payload_room()) > 0:
            found = await read_slice(connection, list(self._unread.values()), min(room, READ_SLICE_BYTES))
            # From here to the end without a pause: a claim is either still unread, or its call has begun.
            for claim, size in found.claims:
                key = (claim.id, claim.claim_seq)
                del self._unread[key]
                if size >= COUNTED_PAYLOAD_BYTES:
                    self._large[key] = size
                self.caller.start(claim)
            for taken, failure in found.refused:
                del self._unread[taken.id, taken.claim_seq]
                self.caller.refuse(
                    taken.id, taken.claim_seq, taken.claimed_at, taken.max_output_tokens, failure
                )
            self._unread = {(each.id, each.claim_seq): each for each in found.later}

    def _payload_room(self) -> int:
        """Bytes that the payloads of further calls may have. Where there is any, the next one comes, whatever its size."""
        if self._large:
            calling = self.caller.claims
            self._large = {key: size for key, size in self._large.items() if key in calling}
        return PAYLOADS_IN_FLIGHT_BYTES - sum(self._large.values())

    def _forget_known(self) -> None:
        """Never a call twice, whatever broke between a claim and its start (invariant 1)."""
        if self._unread:
            for key in self._unread.keys() & (self.caller.claims | self.settler.claims):
                del self._unread[key]

    async def _reconcile(self, connection: Connection) -> None:
        """Find claims of ours that nobody is calling: the connection broke after Postgres made them and before we heard of it.

        No rescue would come for them while this worker lives (invariant 8).
        """
        before = (
            self.caller.claims | self.settler.claims
        )  # one that is settled while Postgres looks is in here alone
        held = await engine.my_claims(connection, self.worker_id())
        # Looked for again for a while: Postgres may end a claim after its connection broke.
        again = monotonic() < self._reconcile_until
        self._reconcile_at = monotonic() + RECONCILE_SECONDS if again else float("inf")
        self._unread |= {key: each for each in held if (key := (each.id, each.claim_seq)) not in before}

    async def _tell(self, connection: Connection, *, full: bool, empty: bool) -> None:
        """Idle from an empty poll to a full one: a trickle of requests does not write the worker's row for each."""
        if (full or empty) and self._told_idle is not empty:
            await engine.set_idle(connection, self.worker_id(), empty)
            self._told_idle = empty

    def _warn_unpriced(self, taken: list[Taken]) -> None:
        # Loud, but once a model: an unknown price is never booked as 0 (invariant 5).
        for lane in {each.lane for each in taken if not each.priced} - self._unpriced:
            self._unpriced.add(lane)
            log.warning("unpriced", lane=lane, hint="its cost will be NULL: add a row to llm_prices")
