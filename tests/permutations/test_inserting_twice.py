"""insert × insert of one dedupe key: inserting twice is inserting once, and never an error."""

from __future__ import annotations

from tests.permutations.orders import Order, interleaved
from tests.permutations.stage import Stage
from tests.permutations.verbs import Verb, delete, edit, insert

MANY = 50
KEYS = 4
UNIQUE = "23505"
"""An UPDATE to a key that another request has is a mistake, and is told so."""


def enqueue(key: str) -> Verb:
    """By the function instead of a plain INSERT."""
    return Verb(
        "enqueue",
        "SELECT llmreq_enqueue(p_content => 'hi', p_provider => 'openai', p_model => 'gpt-6-luna',"
        " p_dedupe_key => $1) AS id",
        (key,),
    )


@interleaved(a="insert commit", b="insert commit", alike=True)
def test_one_of_two_is_there(stage: Stage, order: Order) -> None:
    played = stage.play(order, {"a.insert": insert(dedupe_key="k"), "b.insert": insert(dedupe_key="k")})
    assert len(played.rows("a.insert")) + len(played.rows("b.insert")) == 1


@interleaved(a="insert rollback", b="insert commit")
def test_a_key_whose_insert_is_rolled_back_is_free(stage: Stage, order: Order) -> None:
    stage.play(order, {"a.insert": insert(dedupe_key="k"), "b.insert": insert(dedupe_key="k")})
    found = stage.queue.all("SELECT FROM llm_requests")
    late = order.index("b.insert") if "b.insert" in order else 0
    if "a.rollback" in order[:late] or "a.insert" not in order[:late]:
        assert len(found) == 1


@interleaved(a="first second commit", b="first second commit")
def test_crossed_keys_do_not_deadlock_where_each_is_its_own_transaction(stage: Stage, order: Order) -> None:
    # Two keys in one transaction, in two orders, is a producer's own deadlock: so each in its own here.
    order = tuple(step for step in order if not step.endswith(".commit"))
    stage.play(
        order,
        {
            "a.first": insert(dedupe_key="x"),
            "a.second": insert(dedupe_key="y"),
            "b.first": insert(dedupe_key="y"),
            "b.second": insert(dedupe_key="x"),
        },
    )
    assert len(stage.queue.all("SELECT FROM llm_requests")) == 2


@interleaved(a="enqueue commit", b="enqueue commit", alike=True)
def test_enqueue_brings_the_request_that_has_the_key(stage: Stage, order: Order) -> None:
    played = stage.play(order, {"a.enqueue": enqueue("k"), "b.enqueue": enqueue("k")})
    (row,) = stage.queue.all("SELECT id::text FROM llm_requests")
    assert {played.rows(name)[0]["id"] for name in ("a.enqueue", "b.enqueue")} == {row["id"]}


@interleaved(a="delete commit", b="insert commit")
def test_a_key_is_used_again_while_its_request_is_deleted(stage: Stage, order: Order) -> None:
    (id,) = stage.insert(1, dedupe_key="k")
    stage.play(order, {"a.delete": delete(id), "b.insert": insert(dedupe_key="k")})
    assert len(stage.queue.all("SELECT FROM llm_requests")) <= 1


@interleaved(a="insert commit", b="insert commit", alike=True)
def test_a_key_that_an_edit_left_behind_is_still_used_once(stage: Stage, order: Order) -> None:
    (id,) = stage.insert(1, dedupe_key="k", tenant_id="x")
    stage.play(("p.edit",), {"p.edit": edit(id, tenant_id="y")})
    again = insert(dedupe_key="k", tenant_id="x")
    played = stage.play(order, {"a.insert": again, "b.insert": again})
    assert len(played.rows("a.insert")) + len(played.rows("b.insert")) == 1


@interleaved(a="edit commit", b="insert commit")
def test_a_key_that_an_edit_brings_is_used_once(stage: Stage, order: Order) -> None:
    (id,) = stage.insert(1, dedupe_key="k")
    stage.play(
        order,
        {
            "a.edit": edit(id, dedupe_key="other").but_may_raise(UNIQUE),
            "b.insert": insert(dedupe_key="other"),
        },
    )


def test_one_statement_inserts_a_key_once_however_often_it_names_it(stage: Stage) -> None:
    played = stage.play(("a.insert",), {"a.insert": insert(3, dedupe_key="k")})
    assert len(played.rows("a.insert")) == 1


def test_fifty_sessions_insert_the_same_keys_at_once(stage: Stage) -> None:
    names = [f"p{n}" for n in range(MANY)]
    try:
        for turn in range(KEYS):
            order = ("+".join(f"{name}.insert" for name in names),)
            stage.play(order, {f"{name}.insert": insert(dedupe_key=f"k{turn}") for name in names})
    finally:
        for name in names:
            stage.discard(stage.session(name))
    assert len(stage.queue.all("SELECT FROM llm_requests")) == KEYS
