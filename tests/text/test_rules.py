"""What `local/rules` can do, and that it refuses what it cannot."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmreq.errors import InvalidRequestError
from llmreq.text.language import detect_language
from llmreq.text.rules import RulesTask, run_rules
from llmreq.text.tokens import WordEstimator, best_estimator

PARAGRAPHS = {
    "en": "The town council met on Monday and decided that the bridge would be closed for repairs until the end of the year.",
    "de": "Der Stadtrat hat am Montag getagt und beschlossen, dass die Brücke bis zum Ende des Jahres gesperrt ist.",
    "fr": "Le conseil municipal a décidé lundi que le pont serait fermé et que les habitants sont informés par lettre.",
    "es": "El ayuntamiento decidió el lunes que el puente se cierra por las obras y que los vecinos son informados por carta.",
    "zh": "市议会周一决定,大桥将关闭维修,直到今年年底。居民会收到通知。",
    "ja": "市議会は月曜日に、橋を年末まで修理のために閉鎖することを決めました。",
    "ru": "Городской совет в понедельник решил, что мост будет закрыт на ремонт до конца года.",
}


@pytest.mark.parametrize(("code", "text"), PARAGRAPHS.items(), ids=PARAGRAPHS)
def test_a_paragraph_tells_its_language(code: str, text: str) -> None:
    assert detect_language(text)[0] == code


@pytest.mark.parametrize("text", ["", "42", "ok", "Berlin", "!!!"])
def test_too_little_text_gets_no_guess(text: str) -> None:
    assert detect_language(text) == ("und", 0.0)


@pytest.mark.parametrize("code", ["de", "zh"])
def test_chunks_of_a_document_in_two_languages_say_their_own(code: str) -> None:
    text = f"{PARAGRAPHS['en']}\n\n{PARAGRAPHS[code]}\n\n"
    chunks = run_rules(RulesTask("chunking", text, {"max_tokens_per_chunk": 45}))["chunks"]
    assert {chunk["language"] for chunk in chunks} == {"en", code}
    assert all(text[chunk["start"] : chunk["end"]] == chunk["text"] for chunk in chunks)


def test_entities_stand_where_they_say() -> None:
    text = "Write to anna@example.org by 1 June 2024, or see https://example.org; the fee is 42,000 EUR."
    found = run_rules(RulesTask("entities", text))["entities"]
    assert {entity["type"] for entity in found} >= {"email", "url", "date"}
    assert all(text[entity["start"] : entity["end"]] == entity["text"] for entity in found)


def test_a_text_is_classified_by_the_labels_it_is_given() -> None:
    options = {"labels": {"billing": ["invoice", "refund"], "bug": ["crash", "error"]}}
    answer = run_rules(RulesTask("classification", "The invoice is wrong, please refund me", options))
    assert (answer["label"], answer["confidence"]) == ("billing", 1.0)
    assert run_rules(RulesTask("classification", "Hello there", options))["label"] is None


@pytest.mark.parametrize(
    ("task", "text", "options", "says"),
    [
        ("translation", "Guten Tag", {}, "cannot do 'translation'"),
        ("general", "Why is the sky blue?", {}, "cannot do 'general'"),
        ("summary", "   ", {}, "not empty"),
        ("classification", "x", {}, "params.labels"),
        ("chunking", "x", {"max_tokens_per_chunk": 0}, "whole number from 1"),
        ("chunking", "x", {"max_tokens_per_chunk": "many"}, "whole number from 1"),
        ("chunking", "x", {"max_tokens_per_chunk": 5, "overlap_tokens": 5}, "must be smaller"),
    ],
)
def test_what_rules_cannot_do_they_refuse_in_one_clear_line(
    task: str, text: str, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        run_rules(RulesTask(task, text, options))
    assert says in raised.value.message
    assert "\n" not in raised.value.message


@given(
    task=st.sampled_from(["chunking", "entities", "keywords", "language", "summary", "tagging"]),
    text=st.text(min_size=1, max_size=300),
)
def test_any_text_is_done_or_refused(task: str, text: str) -> None:
    try:
        assert isinstance(run_rules(RulesTask(task, text)), dict)
    except InvalidRequestError:
        assert not text.strip()


def test_a_summary_is_made_of_the_texts_own_sentences() -> None:
    text = (
        "The bridge is closed. Repairs take a year. Cars use the tunnel. The bridge is old. Nobody was hurt."
    )
    said = run_rules(RulesTask("summary", text, {"sentences": 2}))["summary"]
    assert said
    assert all(part.strip() in text for part in said.split(". "))


def test_counting_tokens_opens_no_connection() -> None:
    program = (
        "import socket\n"
        "def refuse(*a, **k): raise AssertionError('the network was asked')\n"
        "socket.socket.connect = refuse; socket.getaddrinfo = refuse\n"
        "from llmreq.text.tokens import best_estimator\n"
        "assert best_estimator().estimate('hello world, this is a text') > 3\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "TIKTOKEN_CACHE_DIR"}
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30, env=environment)


@pytest.mark.parametrize("text", [*PARAGRAPHS.values(), "def add(a, b):\n    return a + b\n" * 5])
def test_the_fallback_estimate_is_within_a_third_of_the_real_count(text: str) -> None:
    exact = best_estimator()
    assert exact.exact, "the dev extra has the tokenizer's data"
    assert WordEstimator().estimate(text) == pytest.approx(exact.estimate(text), rel=0.35)
