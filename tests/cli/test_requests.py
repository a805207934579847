from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run, documents
from tests.engine.queue import Queue

LUNA = ("--model", "openai/gpt-6-luna")


def enqueue(run: Run, text: str = "hi", *flags: str) -> str:
    result = run("enqueue", text, *(flags or LUNA))
    assert result.exit_code == 0, result.stderr
    return result.stdout.strip()


def end(queue: Queue, outcome: str = "completed", **facts: object) -> None:
    worker = queue.worker()
    queue.finish(worker, queue.claim_one(worker), outcome, **facts)


def test_flags_become_columns(run: Run, tmp_path: Path) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "object"}')
    flags = ["--schema", str(schema), "--tenant", "acme", "--task-type", "triage", "--priority", "2"]
    flags += ["--param", "temperature=0", "--param", "stop=END", "--tools", '[{"name": "f"}]', *LUNA]
    (row,) = documents(run("show", enqueue(run, "hello", *flags), "--json"))
    assert row["messages"] == [{"role": "user", "content": "hello"}]
    assert (row["tenant_id"], row["task_type"], row["priority"]) == ("acme", "triage", 2)
    assert row["params"] == {"temperature": 0, "stop": "END"}
    assert (row["response_schema"], row["tools"]) == ({"type": "object"}, [{"name": "f"}])
    assert (row["lane"], row["status"], row["cost_usd"]) == ("openai/gpt-6-luna", "pending", 0)


def test_the_good_lines_are_inserted_and_each_bad_one_is_named(run: Run) -> None:
    lines = [
        '{"content": "one", "model": "openai/gpt-6-luna"}',
        "",
        "{not json",
        '["a list"]',
        '{"content": "two", "priority": 12}',
        '{"content": "three", "provider": "openai", "model": "gpt-6-luna", "task_type": "own"}',
        '{"messages": [{"role": "boss", "content": "x"}]}',
    ]
    result = run("enqueue", "--task-type", "given", stdin="\n".join(lines))
    assert result.exit_code == 1
    said = result.stderr.splitlines()
    assert [line.partition(":")[0] for line in said[:-1]] == ["line 3", "line 4", "line 5", "line 7"]
    assert "priority: must be from 0 to 9" in said[2]
    assert "messages[0].role 'boss' does not exist" in said[3]
    assert said[-1] == "2 requests enqueued, 4 lines refused"
    rows = {row["content"]: row["task_type"] for row in documents(run("list", "--json")) if row["content"]}
    assert rows == {"one": "given", "three": "own"}
    assert len(result.stdout.splitlines()) == 2


def test_json_lines_are_answered_line_by_line(run: Run) -> None:
    result = run("enqueue", "--json", stdin='{"content": "x"}\nnope\n')
    good = next(line for line in documents(result) if line["number"] == 1)
    bad = next(line for line in documents(result) if line["number"] == 2)
    assert good["problem"] is None
    assert (bad["id"], bad["problem"][:8]) == (None, "not JSON")


def test_a_request_refused_on_arrival_ends_with_1(run: Run) -> None:
    result = run("enqueue", "x", "--model", "no-such-model")
    assert result.exit_code == 1
    assert "unknown_model: no provider is known" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["enqueue", "x", "--content", "y"],
        ["enqueue", "x", "--param", "novalue"],
        ["enqueue", "x", "--schema", "{broken"],
        ["enqueue", "--wait"],
        ["retry"],
        ["retry", "5f3a91c2", "--all-failed"],
        ["nonsense"],
    ],
)
def test_wrong_usage_ends_with_2(run: Run, arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


def test_waiting_writes_the_answer(run: Run, queue: Queue) -> None:
    id = enqueue(run)
    end(queue, response="forty-two")
    result = run("wait", id)
    assert (result.exit_code, result.stdout) == (0, "forty-two\n")
    (row,) = documents(run("wait", id, "--json"))
    assert row["response"] == "forty-two"


def test_waiting_tells_failure_from_time_out(run: Run, queue: Queue) -> None:
    id = enqueue(run)
    late = run("wait", id, "--timeout", "0")
    assert (late.exit_code, late.stderr.count("\n")) == (3, 1)
    end(queue, "refused", error_message="I will\nnot")
    failed = run("wait", id)
    assert failed.exit_code == 1
    assert failed.stderr == f"llmreq: request {id} is failed: refused: I will not\n"


def test_show_tells_the_whole_story(run: Run, queue: Queue) -> None:
    id = enqueue(run)
    errors = [{"type": "schema_error", "field": "a", "rule": "type", "message": "must be object"}]
    end(queue, "schema_mismatch", validation_errors=errors, response="\x1b[2J[bold]", error_message="wrong")
    result = run("show", id)
    assert result.exit_code == 0
    assert "must be object" in result.stdout
    assert "[bold]" in result.stdout  # no markup, and no escape sequence reaches the terminal
    assert "\x1b" not in result.stdout
    (row,) = documents(run("show", id, "--json"))
    assert [(call["outcome"], call["claim_seq"]) for call in row["calls"]] == [("schema_mismatch", 1)]


def test_numbers_are_written_exactly(run: Run, queue: Queue) -> None:
    queue.run(
        "INSERT INTO llm_prices"
        " (provider, model, valid_from, input_usd_per_mtok, output_usd_per_mtok, source)"
        " VALUES ('mine', 'm', '-infinity', 0.000000000000000001, 0, 'test')"
    )
    id = enqueue(run, "x", "--provider", "mine", "--model", "m")
    worker = queue.worker("mine")
    queue.finish(worker, queue.claim_one(worker), parsed_response={"n": 2**80})
    written = run("show", id, "--json").stdout
    assert '"cost_usd":0.0000000000000000000001' in written
    assert json.loads(written)["parsed_response"] == {"n": 2**80}


def test_an_id_may_be_given_by_its_end_or_beginning(run: Run) -> None:
    id = enqueue(run)
    for text in (id[-8:], id.replace("-", "")[:31], id.upper()):
        assert documents(run("show", text, "--json"))[0]["id"] == id
    assert "8 or more" in run("show", "abc").stderr
    assert "names no request" in run("show", "00000000").stderr
    enqueue(run, "y")
    both = run("show", id[:8])  # made in the same minute
    assert (both.exit_code, "more than one" in both.stderr) == (1, True)


def test_cancel_and_retry_report_what_they_could_not_do(run: Run) -> None:
    id = enqueue(run)
    assert run("cancel", id).exit_code == 0
    assert run("retry", id).exit_code == 0
    again = run("retry", id)
    assert (again.exit_code, "0 requests" in again.stderr) == (0, False)
    run("cancel", id)
    assert documents(run("retry", "--all-failed", "--json")) == [{"retried": 0, "statuses": {}}]
    assert documents(run("list", "--status", "cancelled", "--json"))[0]["id"] == id


def test_a_request_that_has_ended_is_not_cancelled(run: Run, queue: Queue) -> None:
    id = enqueue(run)
    end(queue, response="x")
    assert run("cancel", id).exit_code == 1
    assert run("retry", id).exit_code == 1
