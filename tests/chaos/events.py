"""What happens to a fleet in bad weather. Each event returns what it did, for the tally."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from functools import partial

from tests.chaos.scene import Scene, crash_postgres

LEASE_SECONDS = 3.0
Event = Callable[[Scene], str]


def kill_a_worker(scene: Scene) -> str:
    scene.chance.choice(scene.alive()).kill()
    scene.start_worker()
    return "kill -9"


def freeze_a_worker(scene: Scene) -> str:
    """Beyond its lease, then thaw it: a zombie with answers."""
    worker = scene.chance.choice(scene.alive())
    worker.send_signal(signal.SIGSTOP)
    scene.later(LEASE_SECONDS * scene.chance.uniform(1.2, 2.0), partial(worker.send_signal, signal.SIGCONT))
    return "SIGSTOP beyond the lease"


def freeze_a_worker_briefly(scene: Scene) -> str:
    worker = scene.chance.choice(scene.alive())
    worker.send_signal(signal.SIGSTOP)
    scene.later(LEASE_SECONDS * 0.3, partial(worker.send_signal, signal.SIGCONT))
    return "SIGSTOP within the lease"


def terminate_workers(scene: Scene) -> str:
    for worker in scene.chance.sample(scene.alive(), 2):
        worker.terminate()
        if scene.chance.random() < 0.5:
            worker.terminate()
        scene.start_worker()
    return "SIGTERM storm"


def crash_the_server(scene: Scene) -> str:
    crash_postgres(scene.server)
    return "Postgres crash"


def stop_the_server_for_a_while(scene: Scene) -> str:
    scene.server.stop()
    time.sleep(scene.chance.uniform(0.5, 2.0))
    scene.server.ensure_running()
    return "Postgres away"


def cut_connections(scene: Scene) -> str:
    scene.proxy.cut()
    return "connections cut"


def silence_the_network(scene: Scene) -> str:
    """Half-open connections: nothing comes through, nothing is closed; then everything is cut."""
    scene.proxy.silence(True)
    time.sleep(scene.chance.uniform(1.0, LEASE_SECONDS * 1.5))
    scene.proxy.cut()
    scene.proxy.silence(False)
    return "network silent"


def provider_outage(scene: Scene) -> str:
    scene.simulator.configure(outage=True)
    scene.later(scene.chance.uniform(1.0, 3.0), partial(scene.simulator.configure, outage=False))
    return "provider outage"


EVENTS: list[Event] = [
    kill_a_worker,
    kill_a_worker,
    freeze_a_worker,
    freeze_a_worker_briefly,
    terminate_workers,
    crash_the_server,
    stop_the_server_for_a_while,
    cut_connections,
    silence_the_network,
    provider_outage,
]
