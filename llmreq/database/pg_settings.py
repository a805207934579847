"""How an embedded cluster is set up: for a queue on a laptop. Written once by initdb; ALTER SYSTEM wins.

Tried and left at their defaults, since inserts with claims went on at about 960 a second either way:
wal_compression, and jit (the wheel is built without LLVM). shared_buffers is 128 MB by default, less where
initdb finds less. fsync stays on: a paid answer must survive a power cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

CLUSTER_SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        # Four connections per worker process, plus producers, a dashboard and a person.
        "max_connections": "200",
        # Fewer checkpoints, so fewer full-page images; replay after a crash still takes seconds.
        "checkpoint_timeout": "15min",
        "max_wal_size": "2GB",
        # A claimed row is a dead row version: one look a minute lets a busy queue bloat.
        "autovacuum_naptime": "15s",
        # Disks are solid state: an index is never to be avoided for its seeks.
        "random_page_cost": "1.1",
        # A container's /dev/shm may have 64 MB, and systemd empties a user's when the last session ends.
        "dynamic_shared_memory_type": "mmap",
        # Budgets are per day: one meaning of "day" wherever the machine stands.
        "timezone": "UTC",
        "log_timezone": "UTC",
        # The log is set aside only at a start, so it holds only what matters.
        "log_checkpoints": "off",
        "log_line_prefix": "%m [%p] %a ",
    }
)
