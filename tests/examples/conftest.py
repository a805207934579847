from __future__ import annotations

from tests.worker.conftest import fleet, shared_simulator, simulator, table

__all__ = ["fleet", "shared_simulator", "simulator", "table"]
