"""Put on PYTHONPATH, this makes a process's wall clock wrong by CHAOS_SKEW_SECONDS (invariant 6: it decides nothing), and
lets the look-up of the name CHAOS_SLOW_NAME hang.
"""

import os
import socket
import time
from typing import Any

_SKEW = float(os.environ.get("CHAOS_SKEW_SECONDS", "0"))
_SLOW_NAME = os.environ.get("CHAOS_SLOW_NAME", "")
_SLOW_SECONDS = 20
_real_time, _real_time_ns = time.time, time.time_ns
_real_getaddrinfo = socket.getaddrinfo

if _SKEW:
    time.time = lambda: _real_time() + _SKEW
    time.time_ns = lambda: _real_time_ns() + int(_SKEW * 1e9)


def _getaddrinfo(host: Any, *rest: Any, **more: Any) -> Any:
    if host == _SLOW_NAME:
        time.sleep(_SLOW_SECONDS)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    return _real_getaddrinfo(host, *rest, **more)


if _SLOW_NAME:
    socket.getaddrinfo = _getaddrinfo
