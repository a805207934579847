from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmreq.database.embedded import default_server
from tests.conftest import folder_parents


@pytest.fixture
def home() -> Iterator[Path]:
    """A data folder with a short path, as LLMREQ_DATA_DIR would name it."""
    folder = Path(tempfile.mkdtemp(prefix="llmreq-home-", dir=folder_parents()[0]))
    folder.chmod(0o711)
    yield folder
    default_server(folder).stop()
    shutil.rmtree(folder)
