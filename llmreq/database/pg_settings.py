"""How an embedded cluster is set up: for a queue on a laptop. Written once by initdb; ALTER SYSTEM wins."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

CLUSTER_SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        # Four connections per worker process, plus producers, a dashboard and a person.
        "max_connections": "200",
        "shared_buffers": "128MB",
        # Claim and finish are short index statements: compiling them costs more than running them.
        "jit": "off",
        "random_page_cost": "1.1",
        # Full-page images are most of the WAL of a queue that rewrites the same pages.
        "wal_compression": "on",
        # Fewer checkpoints, fewer full-page images; recovery after a crash stays within seconds.
        "checkpoint_timeout": "15min",
        "max_wal_size": "2GB",
        # A claimed row is a dead row: the default of a look a minute lets a busy queue bloat.
        "autovacuum_naptime": "15s",
        # A container's /dev/shm has 64 MB, and systemd empties a user's when the last session ends.
        "dynamic_shared_memory_type": "mmap",
        # Budgets are per day: one meaning of "day" wherever the machine stands.
        "timezone": "UTC",
        "log_timezone": "UTC",
        # Nobody rotates this log while the server runs, so it holds only what matters.
        "log_checkpoints": "off",
        "log_line_prefix": "%m [%p] %a ",
    }
)
