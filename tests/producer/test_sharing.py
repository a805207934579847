"""One client between threads and tasks: a COPY of one is not disturbed by the others."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from llmreq import AsyncClient, Client, InvalidRequestError
from tests.producer.test_client import LUNA

MANY = [LUNA] * 300


def test_threads_share_a_client_while_one_copies(client: Client) -> None:
    with ThreadPoolExecutor(4) as threads:
        copies = [threads.submit(client.enqueue_many, MANY) for _ in range(4)]
        singles = [threads.submit(client.enqueue, **LUNA) for _ in range(50)]
        ids = {id for copy in copies for id in copy.result()} | {single.result() for single in singles}
    assert len(ids) == 4 * len(MANY) + 50
    assert {request.id for request in client.list(limit=2000)} == ids


def test_tasks_share_a_client_while_one_copies_and_one_fails(database: str) -> None:
    async def scene() -> int:
        async with AsyncClient(database) as client:
            taken = await client.enqueue(**LUNA)
            results = await asyncio.gather(
                client.enqueue_many([*MANY, {**LUNA, "id": taken}]),
                *(client.enqueue(**LUNA) for _ in range(50)),
                return_exceptions=True,
            )
            assert isinstance(results[0], InvalidRequestError)
            assert [each for each in results[1:] if isinstance(each, BaseException)] == []
            return len(await client.list(limit=2000))

    assert asyncio.run(scene()) == 51
