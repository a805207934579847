"""Stops a statement in its midst: when it writes its nth row of a table, with all the locks it has taken by then.

Triggers on the engine's tables wait for an advisory lock that the stage holds, in sessions that are told to stop there:
one before the engine's own triggers (`first llm_budgets:1`), one after them (`llm_budgets:1`).
"""

from __future__ import annotations

from collections.abc import Sequence

from tests.engine.queue import Queue
from tests.permutations.session import Session

STOP = "stop"
"""Whom a session waits for that stands at a stop."""

LOCK_CLASS = 4711
# Its own lock_timeout, because a stop is not a lock of the engine.
FUNCTION = f"""
CREATE OR REPLACE FUNCTION permutations_stop() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = 0 AS $$
DECLARE
  v_stop text := current_setting('permutations.stop', true);
  v_row integer;
BEGIN
  IF v_stop IS NOT NULL AND split_part(v_stop, ':', 1) = TG_ARGV[0] THEN
    v_row := split_part(v_stop, ':', 2)::integer;
    IF v_row > 1 THEN
      PERFORM set_config('permutations.stop', TG_ARGV[0] || ':' || v_row - 1, false);
    ELSE
      PERFORM set_config('permutations.stop', '', false);
      PERFORM pg_advisory_lock_shared({LOCK_CLASS}, pg_backend_pid());
      PERFORM pg_advisory_unlock_shared({LOCK_CLASS}, pg_backend_pid());
    END IF;
  END IF;
  RETURN coalesce(NEW, OLD);
END
$$
"""


class Stops:
    """The stage's own connection holds the locks."""

    def __init__(self, queue: Queue, tables: Sequence[str]) -> None:
        self._queue = queue
        self._armed: set[int] = set()
        queue.run(FUNCTION)
        for table in tables:
            for trigger, place in (("aa_stop", f"first {table}"), ("zz_stop", table)):
                queue.run(
                    f"CREATE OR REPLACE TRIGGER {trigger} BEFORE INSERT OR UPDATE OR DELETE ON {table}"
                    f" FOR EACH ROW EXECUTE FUNCTION permutations_stop('{place}')"
                )

    @property
    def pid(self) -> int:
        """Of the session that holds the locks."""
        return self._queue.connection.info.backend_pid

    def arm(self, session: Session, stop: str) -> None:
        """Let this session's next statement stop there."""
        session.run("SELECT set_config('permutations.stop', $1, false)", stop)
        self._queue.one("SELECT pg_advisory_lock(%s, %s)", LOCK_CLASS, session.pid)
        self._armed.add(session.pid)

    def let_go(self, session: Session) -> None:
        """Let it go on, if it stands at a stop; and not stop there any more."""
        if session.pid in self._armed:
            self._armed.discard(session.pid)
            self._queue.one("SELECT pg_advisory_unlock(%s, %s)", LOCK_CLASS, session.pid)
