from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from llmreq.agent.definition import (
    CHUNK_BY,
    EXECUTIONS,
    MERGE_STRATEGIES,
    OVERFLOWS,
    PAGE_FAILURES,
    QUALITIES,
    AgentDefinition,
    agent_document,
    agent_of,
    read_agent,
)
from llmreq.limits import MAX_AGENT_BYTES

SCHEMA = {"type": "object", "properties": {"label": {"type": "string"}}, "required": ["label"]}

WHOLE = {
    "name": "tagger",
    "description": "One label",
    "system_prompt": "Label the text.\nNever invent.",
    "output_schema": SCHEMA,
    "provider": "openai",
    "model": "gpt-6-luna",
    "params": {"reasoning_effort": "low"},
    "task_type": "classification",
    "chunk_tokens": 2000,
    "overlap_tokens": 100,
    "chunk_by": "records",
    "merge_strategy": "first",
    "execution": "sequential",
    "on_page_failure": "partial",
    "context_tokens": 8000,
    "on_overflow": "fail",
    "max_output_tokens": 500,
}

AS_YAML = """
# how a person writes it
system_prompt: |
  Label the text.
  Never invent.
output_schema:
  type: object
  properties:
    label: {type: string, enum: [yes, no, "1", 2024-01-01, 12:30]}
    year: {type: integer, minimum: 1_0, maximum: 2100, multipleOf: 1.0}
    yes: {type: [string, 'null']}
params: {a: ~, b: true, c: 1e3, d: -5, e: 'true', f: 0x10, g: 010}
"""


def _with(**changes: Any) -> str:
    return json.dumps({**WHOLE, **changes})


def test_json_and_yaml_say_the_same_agent() -> None:
    agent = read_agent(json.dumps(WHOLE), name="file")
    assert agent == read_agent(yaml.safe_dump(WHOLE), name="file") == AgentDefinition(**WHOLE)
    assert agent_document(agent) == WHOLE


def test_what_is_left_out_has_its_default() -> None:
    agent = read_agent("system_prompt: Answer.", name="from-the-file")
    assert agent == AgentDefinition(name="from-the-file", system_prompt="Answer.")
    assert (agent.merge_strategy, agent.chunk_tokens, agent.overlap_tokens) == ("concat", 3000, 0)
    assert agent_of({"name": "a", "system_prompt": "b", "output_schema": SCHEMA}).merge_strategy == "merge"


def test_yaml_words_and_dates_stay_text_where_no_schema_could_tell_them() -> None:
    agent = read_agent(AS_YAML.replace("1_0", "10"), name="a")
    assert agent.system_prompt == "Label the text.\nNever invent.\n"
    assert agent.output_schema is not None
    fields = agent.output_schema["properties"]
    assert fields["label"]["enum"] == ["yes", "no", "1", "2024-01-01", "12:30"]
    assert list(fields) == ["label", "year", "yes"]
    assert agent.params == {
        "a": None, "b": True, "c": 1000.0, "d": -5, "e": "true", "f": "0x10", "g": "010",
    }  # fmt: skip


def test_an_output_cap_in_params_is_the_agents_cap() -> None:
    agent = agent_of({"name": "a", "system_prompt": "b", "params": {"max_tokens": 9}})
    assert (agent.params, agent.max_output_tokens) == (None, 9)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (_with(promt="x"), "unknown key 'promt': an agent may have name, description, system_prompt"),
        (_with(name="Tagger"), "name must be 1 to 100 of a-z"),
        (_with(name="-a"), "name must be"),
        (_with(name="a" * 101), "name must be"),
        (_with(name="a\n"), "name must be"),
        (_with(system_prompt=" \n"), "system_prompt must be a text that is not empty"),
        (_with(system_prompt=None), "system_prompt is missing"),
        (_with(system_prompt="a\0"), "system_prompt holds U+0000"),
        (_with(output_schema=True), "output_schema must be a JSON Schema, an object, not true"),
        (_with(output_schema={"type": "strin"}), "output_schema: not a valid JSON Schema at #/type"),
        (_with(output_schema={"$ref": "https://x.test/s"}), "output_schema: $ref 'https://x.test/s' at # leads outside"),
        (_with(output_schema={"x-merge": "mean"}), "output_schema: x-merge at # must be one of sum, max"),
        (_with(output_schema={"type": "string", "x-merge": "sum"}), "which is for numbers"),
        (_with(output_schema={"type": "string", "x-merge": "union"}), "which is for arrays"),
        (_with(output_schema={"type": "string", "x-key": "a"}), "x-key at # is for arrays"),
        (_with(output_schema={"type": "array", "x-key": []}), "x-key at # must be a property's name"),
        (
            _with(output_schema={"$defs": {"e": SCHEMA}, "items": {"$ref": "#/$defs/e"}, "x-key": ["lable"]}),
            "x-key at # names 'lable', which the items do not have; they have label",
        ),
        (_with(model=None, quality="best"), "quality must be one of basic, good, premium, not \"best\""),
        (_with(quality="good"), "quality must be left out beside model"),
        (_with(params=[1]), "params must be an object"),
        (_with(params={"api_key": "x"}), "params may not hold 'api_key'"),
        (_with(params={"max_tokens": 5}), "params.max_tokens: the output cap is given twice"),
        (_with(chunk_tokens=49), "chunk_tokens must be a whole number from 50 to 10,000,000, not 49"),
        (_with(chunk_tokens=True), "chunk_tokens must be a whole number"),
        (_with(chunk_tokens=2000.0), "chunk_tokens must be a whole number"),
        (_with(overlap_tokens=-1), "overlap_tokens must be a whole number"),
        (_with(overlap_tokens=1001), "overlap_tokens must be at most half of chunk_tokens (2000), not 1001"),
        (_with(context_tokens=1000), "chunk_tokens (2000) must not be above context_tokens (1000)"),
        (_with(max_output_tokens=0), "max_output_tokens must be a whole number"),
        (_with(merge_strategy="join"), "merge_strategy must be one of concat, merge"),
        (_with(execution="both"), "execution must be one of parallel, sequential"),
        (_with(on_page_failure=False), "on_page_failure must be one of fail, partial, not false"),
        (_with(on_overflow="cut"), "on_overflow must be one of fail, paginate, compress"),
        (_with(chunk_by=["text"]), "chunk_by must be one of text, records"),
        (_with(provider="x" * 501), "provider must have at most 500 characters"),
        ('{"name": "a",}', "not readable as JSON at line 1, column "),
        ("[]", "must be an object"),
        ("", "must be an object"),
        ("just words", "must be an object"),
        ("a: b: c", "not readable as YAML at line 1, column 5"),
        ("name: a\nname: b", "the key 'name' is there twice"),
        ("? [a]\n: b", "a key must be plain text"),
        ("name: a\n---\nname: b", "a second document begins"),
        ("name: !!python/object/apply:os.system [id]", "tags (!) are not accepted"),
        ("params: {a: 1e999}", "1e999 is out of range"),
        ("name: \x07", "not readable as YAML"),
        ("system_prompt: " + "x" * MAX_AGENT_BYTES, "more than 1,048,576 bytes"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_in_one_line(text: str, says: str) -> None:
    with pytest.raises(ValueError) as told:
        read_agent(text, name="a")
    assert says in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "text",
    [
        "a: &x [1]\nb: *x",
        "a: &x [y, y]\nb: &z [*x, *x]\nc: [*z, *z]",
        "a: &x 1",
        "a: {<<: *x}",
        "&x a: 1",
    ],
)
def test_yaml_that_could_multiply_itself_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="anchors and aliases"):
        read_agent(text, name="a")


@pytest.mark.parametrize("text", ["[" * 300_000, "{a: " * 200_000, "- " * 300_000, '{"a":' * 150_000])
def test_a_tower_of_brackets_is_refused_at_once(text: str) -> None:
    with pytest.raises(ValueError, match="not readable as"):
        read_agent(text, name="a")


words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1).filter(
    str.strip
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)
definitions = st.fixed_dictionaries(
    {"name": st.from_regex(r"[a-z0-9][a-z0-9._-]{0,99}", fullmatch=True), "system_prompt": words},
    optional={
        "description": words,
        "output_schema": st.just(SCHEMA) | st.dictionaries(st.just("x-note"), json_values),
        "quality": st.sampled_from(QUALITIES),
        "provider": words,
        "params": st.dictionaries(st.sampled_from(["stop", "seed", "metadata"]), json_values, max_size=3),
        "task_type": words,
        "chunk_tokens": st.integers(1000, 5000),
        "overlap_tokens": st.integers(0, 500),
        "context_tokens": st.integers(5000, 10_000),
        "merge_strategy": st.sampled_from(MERGE_STRATEGIES),
        "chunk_by": st.sampled_from(CHUNK_BY),
        "execution": st.sampled_from(EXECUTIONS),
        "on_page_failure": st.sampled_from(PAGE_FAILURES),
        "on_overflow": st.sampled_from(OVERFLOWS),
        "max_output_tokens": st.integers(1, 1_000_000),
    },
)


@given(definitions)
def test_a_definition_written_back_is_read_as_the_same(document: dict[str, Any]) -> None:
    agent = agent_of(document)
    written = agent_document(agent)
    assert document.items() <= written.items()
    assert agent_of(written) == agent
    assert read_agent(json.dumps(written), name="other") == agent


@given(json_values)
def test_json_inside_yaml_means_what_it_means_as_json(value: Any) -> None:
    text = json.dumps({"seed": value})
    assume(not re.search(r"\\ud[89ab]", text))  # beyond the first plane JSON writes two escapes, YAML one
    assert read_agent(f"system_prompt: a\nparams: {text}", name="a").params == {"seed": value}


@given(st.text() | st.dictionaries(st.sampled_from(sorted(WHOLE)), json_values).map(json.dumps))
def test_any_text_gives_an_agent_or_one_clear_line(text: str) -> None:
    said = ""
    try:
        read_agent(text, name="a")
    except ValueError as error:
        said = str(error) or "nothing"
    assert len(said.splitlines()) <= 1
    assert said != "nothing"
