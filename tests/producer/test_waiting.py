from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import pytest

from llmreq import AsyncClient, Client, ErrorCode, InvalidRequestError, Request, RequestFailedError
from llmreq.limits import STREAM_BATCH
from llmreq.producer.request import ENDED
from llmreq.producer.step import Query
from llmreq.producer.waiting import Watch, stream
from tests.engine.queue import Queue
from tests.producer.conftest import ScriptedModel
from tests.producer.test_client import LUNA


@dataclass
class Sum:
    total: int


def finish_all(queue: Queue, worker: int, ids: list[UUID], count: int) -> list[UUID]:
    """Claim so many and end them, the last claimed first; the ids in the order of their ends."""
    claims = list(reversed(queue.claim(worker, count)))
    for claim in claims:
        queue.finish(worker, claim)
    return [claim["id"] for claim in claims if claim["id"] in ids]


def test_a_stream_gives_each_end_once_and_in_the_order_of_the_ends(client: Client, queue: Queue) -> None:
    ids = client.enqueue_many([LUNA] * (STREAM_BATCH + 30))
    worker = queue.worker()
    expected = finish_all(queue, worker, ids, 20)
    ends = client.stream([*ids, ids[0]], timeout_seconds=30)
    got = [next(ends).id for _ in range(20)]
    expected += finish_all(queue, worker, ids, len(ids))
    got += [request.id for request in ends]
    assert got == expected
    assert len(set(got)) == len(ids)


def test_a_stream_that_runs_out_of_time_has_given_what_ended(client: Client, queue: Queue) -> None:
    ids = client.enqueue_many([LUNA] * 3)
    ended = finish_all(queue, queue.worker(), ids, 2)
    ends = client.stream(ids, timeout_seconds=0)
    assert [next(ends).id, next(ends).id] == ended
    with pytest.raises(TimeoutError, match=str((set(ids) - set(ended)).pop())):
        next(ends)


def test_a_stream_of_what_does_not_exist_says_so(client: Client) -> None:
    with pytest.raises(InvalidRequestError, match="does not exist"):
        next(client.stream([UUID(int=7)]))
    assert list(client.stream([])) == []


def test_an_end_that_a_retry_takes_back_is_waited_for_again(client: Client, queue: Queue) -> None:
    first, second = client.enqueue_many([LUNA] * 2)
    worker = queue.worker()
    for claim in queue.claim(worker, 2):
        queue.finish(worker, claim, "refused", error_message="no")
    plans = stream(watch := Watch(), [first, second], 30)
    plan = next(plans)
    rows = queue.all("SELECT id, status FROM llm_requests")
    assert isinstance(next(plan), Query)
    plan.send(rows)  # both have ended …
    client.retry(first)
    with pytest.raises(StopIteration) as given:
        plan.send(queue.all("SELECT * FROM llm_requests"))  # … and one runs again when it is read
    assert [request.id for request in given.value.value] == [second]
    assert watch.statuses == {first: "pending"}
    plans.close()
    assert watch == Watch(looked_at=watch.looked_at, look_seconds=watch.look_seconds)


def test_looks_at_many_keep_to_their_share_of_the_time() -> None:
    now, looks = 0.0, 0
    rows = [{"id": UUID(int=n), "status": "pending"} for n in range(1, 3000)]
    plan = next(stream(Watch(), [row["id"] for row in rows], 60, lambda: now))
    step, problem = next(plan), ""
    while not problem:
        now += 0.02 if isinstance(step, Query) else step.seconds  # what a look takes, or the pause
        looks += isinstance(step, Query)
        try:
            step = plan.send(rows if isinstance(step, Query) else [])
        except TimeoutError as error:
            problem = str(error)
    assert "and 2998 more" in problem
    assert looks * 0.02 < 0.1 * 60 < now


def test_the_asyncio_client_streams_too(database: str, queue: Queue) -> None:
    async def scene() -> list[Request]:
        async with AsyncClient(database) as client:
            ids = await client.enqueue_many([LUNA] * 5)
            await asyncio.to_thread(finish_all, queue, queue.worker(), ids, 5)
            return [request async for request in client.stream(ids, timeout_seconds=20)]

    ends = asyncio.run(scene())
    assert [each.completed_at for each in ends] == sorted(each.completed_at for each in ends)
    assert {each.status for each in ends} <= ENDED
    assert len(ends) == 5


def test_an_answer_is_asked_for_as_a_type(client: Client, model: Callable[..., ScriptedModel]) -> None:
    with model({"response": '{"total": 7}', "parsed_response": {"total": 7}}) as worker:
        assert client.ask(LUNA, Sum, timeout_seconds=20) == Sum(7)
    assert worker.asked[0]["response_schema"]["required"] == ["total"]
    assert worker.asked[0]["response_schema"]["additionalProperties"] is False


def test_a_failed_ask_raises_the_rows_own_code(database: str, model: Callable[..., ScriptedModel]) -> None:
    async def scene() -> Sum:
        async with AsyncClient(database) as client:
            return await client.ask(LUNA, Sum, timeout_seconds=20)

    with model({"outcome": "refused", "error_message": "no"}), pytest.raises(RequestFailedError) as raised:
        asyncio.run(scene())
    assert raised.value.code is ErrorCode.REFUSED
