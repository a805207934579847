from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import _fresh
from tests.permutations.stage import Stage


@pytest.fixture(scope="package")
def shared_stage(admin_url: str, template: str, run_folder: Path) -> Iterator[Stage]:
    """One database and its sessions for all permutations: connections and plans are dearer than what is played."""
    for url in _fresh(admin_url, template, run_folder):
        stage = Stage(url)
        yield stage
        stage.close()


@pytest.fixture
def stage(shared_stage: Stage) -> Iterator[Stage]:
    """An empty queue. After the test the books must balance, and everything must come to its end."""
    shared_stage.clear()
    yield shared_stage
    shared_stage.check()
    shared_stage.drain()
    shared_stage.check_idle()
