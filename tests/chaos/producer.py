"""Whoever inserts requests through the storm: honest ones, documents, cancellations, and now and then poison."""

from __future__ import annotations

import random
import threading
from collections import Counter

import psycopg

from tests.chaos.poison import ANSWERS, ROWS, insert_statement, question, row
from tests.worker.fleet import Table

LIMITED = "gpt-6-sol"
MODELS = (("openai", "gpt-6-luna"), ("openai", LIMITED), ("anthropic", "claude-haiku-5-5"))
TRAPS = (*ANSWERS, "http_429")
LEAST_SECONDS = 20
"""A question that may never be answered, as where nothing comes but 429, expires after this."""


class Producer:
    """Inserts on a thread of its own. Each row has a dedupe key: an insert whose answer was lost is made again."""

    def __init__(self, table: Table, chance: random.Random, tally: Counter[str]) -> None:
        self.inserted: list[str] = []
        self._table = table
        self._chance = random.Random(chance.random())
        self._tally = tally
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._run, name="producer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._enough.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        while not self._enough.wait(0.1):
            batch = [str(number + n) for n in range(self._chance.randrange(1, 25))]
            if not self._insert_batch(batch):
                continue
            number += len(batch)
            for share, what in (
                (0.05, self._cancel_one),
                (0.1, self._document),
                (0.15, self._poison),
                (0.1, self._trap),
            ):
                if self._chance.random() < share:
                    what(number)

    def _insert_batch(self, batch: list[str]) -> bool:
        provider, model = self._chance.choice(MODELS)
        try:
            self._table.all(
                "INSERT INTO llm_requests"
                " (provider, model, content, dedupe_key, tenant_id, priority, timeout_seconds, max_attempts)"
                " SELECT %s, %s, 'request ' || k, k, 't' || k::int %% 5, k::int %% 3 + 4, 10, 6 FROM unnest(%s::text[]) k"
                " ON CONFLICT DO NOTHING",
                provider, model, batch,
            )  # fmt: skip
        except psycopg.Error:
            self._tally["inserts made again"] += 1
            return False
        self.inserted += batch
        return True

    def _cancel_one(self, _number: int) -> None:
        try:
            key = self._chance.choice(self.inserted[-200:])
            self._table.all("SELECT llmreq_cancel(id) FROM llm_requests WHERE dedupe_key = %s", key)
            self._tally["cancellations"] += 1
        except psycopg.Error:
            pass

    def _document(self, number: int) -> None:
        """A text of some ten pages."""
        key = f"document {number}"
        try:
            self._table.all(
                "INSERT INTO llm_requests (agent_name, content, dedupe_key, tenant_id, timeout_seconds, max_attempts)"
                " SELECT 'entity-extractor', string_agg('The crane on quay ' || n || ' is stuck again. ', ''), %s, 't2', 10, 6"
                " FROM generate_series(1, 3000) n ON CONFLICT DO NOTHING",
                key,
            )  # fmt: skip
        except psycopg.Error:
            return
        self._tally["documents"] += 1
        self.inserted.append(key)

    def _poison(self, number: int) -> None:
        name = self._chance.choice(list(ROWS))
        self._insert_one(f"poison {number}", name, row(name))

    def _trap(self, number: int) -> None:
        if self._chance.random() < 0.2:
            where = {"provider": "'unreachable'", "model": "'any'"}  # a name whose look-up hangs
            columns = {**question("name", timeout_seconds=2), **where}
            self._insert_one(f"nowhere {number}", "unreachable", columns)
            return
        kind = self._chance.choice(TRAPS)
        self._insert_one(f"trap {number}", kind, question(kind, timeout_seconds=3))

    def _insert_one(self, key: str, name: str, columns: dict[str, str]) -> None:
        expires = {"expires_at": f"llmreq_now() + interval '{LEAST_SECONDS} s'"}
        try:
            self._table.all(insert_statement({**columns, **expires, "dedupe_key": f"'{key}'"}, name, key))
        except psycopg.Error:
            return
        self._tally["poison rows and traps"] += 1
        self.inserted.append(key)
