"""What happens to a fleet in bad weather. Each event returns what it did, for the tally."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from functools import partial

from tests.chaos import by_hand
from tests.chaos.scene import FAULTS, LEASE_SECONDS, Scene, crash_postgres

Event = Callable[[Scene], str]


def kill_a_worker(scene: Scene) -> str:
    scene.kill(scene.chance.choice(scene.alive()))
    scene.start_worker()
    return "kill -9"


def kill_a_parent(scene: Scene) -> str:
    """Of several processes: its children must not outlive it."""
    scene.start_worker(processes=2)
    parent = scene.fleet.workers[-1]
    time.sleep(scene.chance.uniform(1.0, 3.0))
    scene.kill(parent)
    return "kill -9 of a parent"


def freeze_a_worker(scene: Scene) -> str:
    """Beyond its lease, then thaw it: a zombie with answers."""
    worker = scene.chance.choice(scene.alive())
    scene.hurt |= scene.processes_of(worker)
    scene.signal(worker, signal.SIGSTOP)
    scene.later(LEASE_SECONDS * scene.chance.uniform(1.2, 2.0), partial(scene.signal, worker, signal.SIGCONT))
    return "SIGSTOP beyond the lease"


def freeze_a_worker_briefly(scene: Scene) -> str:
    worker = scene.chance.choice(scene.alive())
    scene.signal(worker, signal.SIGSTOP)
    scene.later(LEASE_SECONDS * 0.3, partial(scene.signal, worker, signal.SIGCONT))
    return "SIGSTOP within the lease"


def terminate_workers(scene: Scene) -> str:
    for worker in scene.chance.sample(scene.alive(), 2):
        scene.terminate(worker, hurry=scene.chance.random() < 0.5)
        scene.start_worker()
    return "SIGTERM storm"


def crash_the_server(scene: Scene) -> str:
    scene.lose_the_database()
    crash_postgres(scene.server)
    return "Postgres crash"


def stop_the_server_for_a_while(scene: Scene) -> str:
    scene.lose_the_database()
    scene.server.stop()
    time.sleep(scene.chance.uniform(0.5, 2.0))
    scene.server.ensure_running()
    return "Postgres away"


def stop_the_server_beyond_the_lease(scene: Scene) -> str:
    """Every worker stays alive: none of their calls may be bought again."""
    scene.lose_the_database()
    scene.server.stop()
    time.sleep(LEASE_SECONDS * scene.chance.uniform(1.2, 1.8))
    scene.server.ensure_running()
    return "Postgres away beyond the lease"


def cut_connections(scene: Scene) -> str:
    scene.lose_the_database()
    scene.proxy.cut()
    return "connections cut"


def silence_the_network(scene: Scene) -> str:
    """Nothing comes through, nothing is closed; then everything is cut."""
    scene.lose_the_database()
    if scene.bouncer_port:
        scene.hurt_all()  # those behind PgBouncer still beat, and are right to think the others dead
    scene.proxy.silence(True)
    time.sleep(scene.chance.uniform(1.0, LEASE_SECONDS * 1.5))
    scene.proxy.cut()
    scene.proxy.silence(False)
    return "network silent"


def leave_connections_half_open(scene: Scene) -> str:
    """Some bring nothing any more and are never closed: only a deadline tells."""
    scene.hurt_all()  # a worker whose heart hangs on such a connection may lose its lease
    scene.proxy.leave_half_open(scene.chance.uniform(0.2, 0.7), scene.chance)
    return "half-open connections"


def provider_outage(scene: Scene) -> str:
    scene.simulator.configure(outage=True)
    scene.later(scene.chance.uniform(1.0, 3.0), partial(scene.simulator.configure, outage=False))
    return "provider outage"


def throttle_without_a_word(scene: Scene) -> str:
    """Nothing but 429 without Retry-After, for some seconds."""
    scene.simulator.configure(faults={"http_429": 1.0})
    scene.later(scene.chance.uniform(1.0, 3.0), partial(scene.simulator.configure, faults=FAULTS))
    return "429 without Retry-After"


EVENTS: list[Event] = [
    kill_a_worker,
    kill_a_worker,
    kill_a_parent,
    freeze_a_worker,
    freeze_a_worker_briefly,
    terminate_workers,
    crash_the_server,
    stop_the_server_for_a_while,
    stop_the_server_beyond_the_lease,
    cut_connections,
    silence_the_network,
    leave_connections_half_open,
    provider_outage,
    throttle_without_a_word,
    by_hand.raise_in_a_trigger,
    by_hand.edit_rows_in_flight,
    by_hand.delete_rows_in_flight,
    by_hand.set_odd_defaults,
]
