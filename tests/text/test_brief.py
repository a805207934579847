from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmreq.text.brief import concatenated, first_tokens, last_tokens, summarized, turns_text
from llmreq.text.tokens import WordEstimator, best_estimator

ESTIMATORS = st.sampled_from([best_estimator(), WordEstimator()])
TEXTS = st.text(max_size=300) | st.lists(
    st.sampled_from(["The crane stands. ", "船长写信。", "No! ", "x" * 40, "\n\n", "👩‍🚀 "]), max_size=40
).map("".join)


@given(TEXTS, st.integers(1, 80), ESTIMATORS)
def test_a_concatenation_is_never_over_its_cap_and_says_its_size(
    text: str, most: int, estimator: Any
) -> None:
    brief = concatenated(text, most, estimator)
    assert brief.used_tokens == estimator.estimate(brief.text) <= most
    assert brief.overflow == (estimator.estimate(text.strip()) > most)
    if not brief.overflow:
        assert brief.text == text.strip()
    else:
        assert text.strip().endswith(brief.text.removeprefix("… "))


@given(TEXTS, TEXTS, st.integers(1, 80), ESTIMATORS)
def test_a_models_brief_is_brought_under_its_cap(answer: str, turns: str, most: int, estimator: Any) -> None:
    brief = summarized({"brief": answer, "facts": [turns]}, turns, most, estimator)
    assert brief.used_tokens == estimator.estimate(brief.text) <= most
    told = brief.as_json()
    assert told["remaining_tokens"] == most - told["used_tokens"] >= 0
    assert (told["method"], told["summarizations"]) == ("model", 1)


@pytest.mark.parametrize(
    ("cut", "expected"), [(first_tokens, "One is here."), (last_tokens, "… Three is away.")]
)
def test_a_cut_falls_between_sentences(cut: Any, expected: str) -> None:
    assert cut("One is here. Two is there. Three is away.", 6, best_estimator()) == expected


def test_turns_say_who_speaks_and_what_was_called() -> None:
    turns = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": [{"type": "text", "text": "Hi"}]},
        {"role": "assistant", "tool_calls": [{"id": "1", "tool_name": "tide_at", "params": {}}]},
    ]
    text = turns_text(turns)
    assert text.startswith("user: Hello\n\nassistant: Hi\n\nassistant: calls ")
    assert "tide_at" in text


def test_every_field_of_the_running_brief_is_in_its_text() -> None:
    answer = {"brief": "They met.", "open_questions": ["Who pays?"], "decisions": [], "facts": ["Berth 4"]}
    text = summarized(answer, "…", 500, best_estimator()).text
    assert text == "They met.\nOpen questions: Who pays?.\nFacts: Berth 4."
