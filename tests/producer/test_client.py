from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID, uuid4

import psycopg
import pytest

from llmreq import AsyncClient, Client, ErrorCode, InvalidRequestError, RequestFailedError
from tests.engine.queue import HELLO, Queue

LUNA = {"messages": HELLO, "provider": "openai", "model": "gpt-6-luna"}


def answer(queue: Queue, text: str = "4", outcome: str = "completed", **facts: object) -> None:
    """Be a worker: claim the one pending request and end it."""
    worker = queue.worker()
    queue.finish(worker, queue.claim_one(worker), outcome, response=text, **facts)


def test_what_is_enqueued_is_what_the_row_says(client: Client) -> None:
    due = datetime(2030, 1, 31, 12, tzinfo=UTC)
    id = client.enqueue(
        **LUNA,
        tenant_id="acme",
        priority=1,
        context={"ticket": [7, "ü"]},
        response_schema=False,
        scheduled_at=due,
    )
    request = client.get(id)
    assert (request.tenant_id, request.priority, request.context) == ("acme", 1, {"ticket": [7, "ü"]})
    assert (request.status, request.lane, request.scheduled_at) == ("pending", "openai/gpt-6-luna", due)
    assert request.response_schema is False
    assert request.messages == HELLO
    assert request.timeout_seconds == 30  # the column's own default


def test_a_dedupe_key_makes_inserting_twice_inserting_once(client: Client) -> None:
    first = client.enqueue(**LUNA, dedupe_key="k")
    assert client.enqueue(**LUNA, dedupe_key="k") == first
    assert client.enqueue(**LUNA, dedupe_key="k", tenant_id="other") != first
    assert len(client.list()) == 2


def test_two_sessions_with_the_same_new_key_get_the_same_request(client: Client, database: str) -> None:
    found: list[UUID] = []
    with psycopg.connect(database) as holder:
        first = client.enqueue(**LUNA, dedupe_key="k", connection=holder)  # not committed yet
        second = threading.Thread(target=lambda: found.append(client.enqueue(**LUNA, dedupe_key="k")))
        second.start()
        _until_blocked(database)
    second.join()
    assert found == [first]


def test_a_copy_that_meets_another_sessions_key_is_sent_again(client: Client, database: str) -> None:
    found: list[list[UUID]] = []
    with psycopg.connect(database) as holder:
        first = client.enqueue(**LUNA, dedupe_key="k", connection=holder)
        both = [{**LUNA, "dedupe_key": "k"}, LUNA]
        copy = threading.Thread(target=lambda: found.append(client.enqueue_many(both)))
        copy.start()
        _until_blocked(database)
    copy.join()
    assert found[0][0] == first
    assert {request.id for request in client.list()} == set(found[0])


def _until_blocked(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as watcher:
        waiting = (
            "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        while not watcher.execute(waiting).fetchall():
            pass


def test_many_are_copied_in_order_and_repeated_keys_share_an_id(client: Client) -> None:
    known = client.enqueue(**LUNA, dedupe_key="known")
    requests = [
        {**LUNA, "content": None, "priority": 3},
        {**LUNA, "dedupe_key": "new"},
        {"content": "a\tb\\c\n", "task_type": "chunking"},
        {**LUNA, "dedupe_key": "new"},
        {**LUNA, "dedupe_key": "known"},
    ]
    ids = client.enqueue_many(iter(requests))
    assert ids[1] == ids[3]
    assert ids[4] == known
    assert client.get(ids[0]).priority == 3
    assert client.get(ids[1]).priority == 5
    assert client.get(ids[2]).content == "a\tb\\c\n"
    assert len(client.list()) == 4
    assert client.enqueue_many([]) == []


def test_one_bad_request_of_many_is_named_and_none_is_inserted(client: Client) -> None:
    with pytest.raises(InvalidRequestError, match=r"requests\[1\]\.priority"):
        client.enqueue_many([LUNA, {**LUNA, "priority": "high"}])
    assert client.list() == []


def test_an_id_that_exists_is_refused_in_one_line(client: Client) -> None:
    id = client.enqueue(**LUNA)
    for again in (lambda: client.enqueue(**LUNA, id=id), lambda: client.enqueue_many([{**LUNA, "id": id}])):
        with pytest.raises(InvalidRequestError, match="already exists"):
            again()


def test_waiting_gives_the_ended_row_with_its_cost(client: Client, queue: Queue) -> None:
    queue.run(
        "INSERT INTO llm_prices"
        " (provider, model, valid_from, input_usd_per_mtok, output_usd_per_mtok, source)"
        " VALUES ('mine', 'm', '-infinity', 1, 2, 'test')"
    )
    id = client.enqueue(messages=HELLO, provider="mine", model="m")
    worker = queue.worker("mine")
    queue.finish(worker, queue.claim_one(worker), "completed", response="4")
    request = client.wait(id, timeout_seconds=5)
    assert (request.status, request.response) == ("completed", "4")
    assert (request.input_tokens, request.output_tokens) == (100, 10)
    assert request.cost_usd == Decimal("0.00012")


def test_waiting_ends_in_time_and_says_for_what(client: Client) -> None:
    id = client.enqueue(**LUNA)
    with pytest.raises(TimeoutError, match=str(id)):
        client.wait(id, timeout_seconds=0)
    with pytest.raises(InvalidRequestError, match="does not exist"):
        client.wait(uuid4(), timeout_seconds=0)


def test_a_failure_is_raised_only_when_asked_for(client: Client, queue: Queue) -> None:
    id = client.enqueue(**LUNA)
    answer(queue, outcome="refused", error_message="no")
    assert client.wait(id, 5).error_code == "refused"
    with pytest.raises(RequestFailedError) as raised:
        client.wait(id, 5, raise_on_failure=True)
    assert raised.value.code is ErrorCode.REFUSED


def test_cancel_and_retry_say_the_status_after_them(client: Client) -> None:
    id = client.enqueue(**LUNA)
    assert client.cancel(id) == "cancelled"
    assert client.retry(id) == "pending"
    assert client.retry(id) == "pending"
    for call in (client.cancel, client.retry, client.get):
        with pytest.raises(InvalidRequestError, match="does not exist"):
            call(uuid4())


def test_all_failed_are_retried_but_those_that_can_never_be_sent(client: Client, queue: Queue) -> None:
    good = client.enqueue(**LUNA)
    answer(queue, outcome="refused", error_message="no")
    bad = client.enqueue(messages=[{"role": "nobody", "content": "x"}])
    assert client.retry_failed(error_code="authentication") == []
    assert client.retry_failed() == [good]
    assert client.get(bad).error_code == "invalid_request"


def test_one_query_looks_after_all_tasks_that_wait(database: str, queue: Queue) -> None:
    async def scene() -> list[str]:
        async with AsyncClient(database) as client:
            ids = await client.enqueue_many([LUNA] * 20)
            waits = [asyncio.create_task(client.wait(id, 20)) for id in ids]
            await asyncio.sleep(0)
            worker = queue.worker()
            for claim in await asyncio.to_thread(queue.claim, worker, 20):
                await asyncio.to_thread(queue.finish, worker, claim)
            return [request.status for request in await asyncio.gather(*waits)]

    assert asyncio.run(scene()) == ["completed"] * 20


def test_a_broken_connection_is_replaced_while_waiting(client: Client, queue: Queue) -> None:
    id = client.enqueue(**LUNA)
    kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'llmreq client'"
    ender = threading.Timer(0.2, lambda: answer(queue))
    queue.run(kill)
    ender.start()
    assert client.wait(id, 10).status == "completed"
    ender.join()


def test_a_row_that_the_table_refuses_is_told_without_what_it_holds(client: Client) -> None:
    agent = {"name": "a", "system_prompt": "the secret sauce", "provider": "p" * 300, "model": "m"}
    with pytest.raises(InvalidRequestError, match="llm_agents_bounds_check") as raised:
        client.store_agent(agent)
    assert "sauce" not in raised.value.message
