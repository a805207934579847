from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run, documents
from tests.engine.queue import Queue

TAGGER = """
description: Tags a text
system_prompt: Tag it.
provider: openai
model: gpt-6-luna
output_schema:
  type: object
  properties:
    tags: {type: array, items: {type: string}, x-merge: union}
    score: {type: integer}
  required: [tags, score]
  additionalProperties: false
"""


@pytest.fixture
def tagger(tmp_path: Path) -> Path:
    path = tmp_path / "tagger.yaml"
    path.write_text(TAGGER)
    return path


def test_an_agent_is_added_listed_shown_and_retired(run: Run, tagger: Path) -> None:
    (added,) = documents(run("agents", "add", tagger, "--json"))
    assert (added["name"], added["version"], added["is_new"], added["changes"]) == ("tagger", 1, True, [])
    assert "nothing changed" in run("agents", "add", tagger).stderr
    names = {row["name"]: row for row in documents(run("agents", "list", "--json"))}
    assert set(names) == {
        "tagger", "entity-extractor", "classifier", "summarizer", "semantic-chunker", "running-brief",
    }  # fmt: skip
    shown = json.loads(run("agents", "show", "tagger").stdout)
    assert (shown["system_prompt"], shown["merge_strategy"]) == ("Tag it.", "merge")
    assert "version 1 retired" in run("agents", "retire", "tagger").stderr
    refused = run("agents", "show", "tagger")
    assert (refused.exit_code, "llmreq agents list" in refused.stderr) == (1, True)


def test_what_is_shown_can_be_added_again(run: Run, tagger: Path, tmp_path: Path) -> None:
    run("agents", "add", tagger)
    copy = tmp_path / "tagger.json"
    copy.write_text(run("agents", "show", "tagger").stdout)
    assert documents(run("agents", "add", copy, "--json"))[0]["is_new"] is False


def test_a_breaking_schema_change_is_told_and_refused_if_asked_to(run: Run, tagger: Path) -> None:
    run("agents", "add", tagger)
    tagger.write_text(TAGGER.replace("score: {type: integer}", "score: {type: string}"))
    refused = run("agents", "add", tagger, "--strict")
    assert refused.exit_code == 1
    assert "score" in refused.stderr
    told = run("agents", "add", tagger)
    assert "BREAKING" in told.stdout
    assert "version 2 is saved" in told.stderr
    (difference,) = documents(run("agents", "diff", "tagger", "1", "--json"))
    assert list(difference["fields"]) == ["output_schema"]
    assert [each["breaking"] for each in difference["schema"]] == [True]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("system_prompt: Tag it.", ""), "system_prompt is missing"),
        (("x-merge: union", "x-merge: blend"), "x-merge at #/properties/tags must be one of sum"),
        (("description: Tags", "colour: Tags"), "unknown key 'colour'"),
        (("type: object", "type: objekt"), "not a valid JSON Schema at #/type"),
    ],
)
def test_a_wrong_agent_file_is_refused_in_one_line(
    run: Run, tagger: Path, change: tuple[str, str], says: str
) -> None:
    tagger.write_text(TAGGER.replace(*change, 1))
    done = run("agents", "add", tagger)
    assert done.exit_code == 1
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_agent_is_run_on_a_file(run: Run, tagger: Path, tmp_path: Path, queue: Queue) -> None:
    run("agents", "add", tagger)
    book = tmp_path / "book.txt"
    book.write_text("A crane stands here. " * 3000)
    (enqueued,) = documents(run("enqueue", "--agent", "tagger", "--file", book, "--json"))
    row = queue.one("SELECT * FROM llm_requests WHERE id = %s", enqueued["id"])
    assert (row["agent_name"], row["agent_version"], row["lane"]) == ("tagger", 1, "local/pages")
    refused = run("enqueue", "--agent", "nobody", "hello")
    assert refused.exit_code == 1
    assert "no stored agent" in refused.stderr


def test_the_list_shows_a_document_and_its_pages_only_if_asked(run: Run, tagger: Path, queue: Queue) -> None:
    run("agents", "add", tagger)
    row = queue.insert(agent_name="tagger", content="A crane stands here. " * 3000)
    worker = queue.worker("local/pages")
    places = [{"start": n * 100, "end": (n + 1) * 100, "tokens": 30} for n in range(5)]
    queue.finish(worker, queue.claim_one(worker), step="paginated", pages=places)
    assert [each["id"] for each in documents(run("list", "--json"))] == [str(row["id"])]
    assert len(documents(run("list", "--pages", "--json"))) == 6
    shown = run("show", row["id"]).stdout
    assert "Pages (0 of 5 done)" in shown
    assert "characters more (--json has them)" in shown
