"""What people do to the tables by hand, in the midst of it all."""

from __future__ import annotations

from functools import partial

import psycopg

from tests.chaos.scene import Scene

TRIGGER = """
SET lock_timeout = '2s';
CREATE OR REPLACE FUNCTION chaos_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF abs(hashtext(NEW.id::text)) % 8 = TG_ARGV[0]::integer THEN
    RAISE EXCEPTION 'not in my table';
  END IF;
  RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER chaos_refuse BEFORE UPDATE ON llm_requests FOR EACH ROW EXECUTE FUNCTION chaos_refuse({part})
"""
UNTRIGGER = "SET lock_timeout = '5s'; DROP TRIGGER IF EXISTS chaos_refuse ON llm_requests"

FROZEN = ("status = 'completed'", "tenant_id = 'stolen'", "lane = 'openai/stolen'", "messages = '[]'")
ODD_SETTINGS = {
    "DateStyle": "German, DMY",
    "IntervalStyle": "sql_standard",
    "TimeZone": "Asia/Kathmandu",
    "extra_float_digits": "-15",
}


def raise_in_a_trigger(scene: Scene) -> str:
    """An eighth of all rows cannot be written, for some seconds."""
    try:
        scene.execute(TRIGGER.format(part=scene.chance.randrange(8)))
    except psycopg.Error:
        return "raising trigger (the table was busy)"
    scene.later(scene.chance.uniform(1.0, 4.0), partial(remove_the_trigger, scene))
    return "raising trigger"


def remove_the_trigger(scene: Scene) -> None:
    """Whatever it takes: Postgres may be away at this moment."""
    scene.insist(UNTRIGGER)


def edit_rows_in_flight(scene: Scene) -> str:
    """Each edit must be refused, or come too late to be one of a row in flight."""
    for change in FROZEN:
        try:
            edited = scene.execute(
                f"UPDATE llm_requests SET {change} WHERE id = (SELECT id FROM llm_requests WHERE status = 'processing'"
                " LIMIT 1) AND status = 'processing'"
            )
            scene.tally["edits of rows in flight that were not refused"] += edited
        except psycopg.Error as error:
            scene.tally["edits of rows in flight refused"] += error.sqlstate == "LQ007"
    return "hand edits"


def delete_rows_in_flight(scene: Scene) -> str:
    """They are gone, and what they cost is not."""
    try:
        rows = scene.table.all(
            "DELETE FROM llm_requests WHERE id IN (SELECT id FROM llm_requests WHERE status = 'processing'"
            " AND parent_id IS NULL AND pages IS NULL AND pages_lane IS NULL LIMIT 3) RETURNING id::text, dedupe_key"
        )
    except psycopg.Error:
        return "hand deletes (Postgres was away)"
    scene.deleted |= {row["dedupe_key"] for row in rows}
    scene.deleted_ids |= {row["id"] for row in rows}
    return "hand deletes"


def set_odd_defaults(scene: Scene) -> str:
    """A database whose sessions write dates, intervals and numbers their own way, from their next connection on."""
    name = scene.chance.choice(list(ODD_SETTINGS))
    try:
        scene.execute(f"ALTER DATABASE llmreq SET {name} = '{ODD_SETTINGS[name]}'")
    except psycopg.Error:
        return "odd defaults (Postgres was away)"
    scene.proxy.cut()
    scene.later(scene.chance.uniform(2.0, 5.0), partial(scene.insist, f"ALTER DATABASE llmreq RESET {name}"))
    return "odd defaults"
