"""Put on PYTHONPATH, this makes a process's wall clock wrong by CHAOS_SKEW_SECONDS (invariant 6: it decides nothing)."""

import os
import time

_SKEW = float(os.environ.get("CHAOS_SKEW_SECONDS", "0"))
_real_time, _real_time_ns = time.time, time.time_ns

if _SKEW:
    time.time = lambda: _real_time() + _SKEW
    time.time_ns = lambda: _real_time_ns() + int(_SKEW * 1e9)
