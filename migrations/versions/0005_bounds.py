"""Bounds at the door: what no price, weight, limit, budget, agent or route can be.

NaN is larger than every number to Postgres, so that an upper bound refuses it, and infinity too. What is there already
and is out of bounds is put right first: a limit or a price that is no number becomes NULL, a weight or a burst its default,
the rest the nearest bound. llmreq/limits.py has the same bounds with their reasons.

Revision ID: 0005
Revises: 0004
"""

import re

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def each(pattern: str, names: str) -> str:
    """The pattern for each of these columns, one after the other."""
    return ", ".join(pattern.replace("@", name) for name in names.split(", "))


def filled(statements: str) -> str:
    """With the lists and expressions of this module in the places that name them: <PRICE>."""
    return re.sub(r"<([A-Z_]+)>", lambda found: str(globals()[found[1]]), statements)


# All tables at once and before anything else, and given back when one of them is not free within half a second: a lock that
# waits keeps every claim waiting behind it.
LOCK = """
DO $$
DECLARE
  v_usual text := current_setting('lock_timeout');
BEGIN
  FOR i IN 1 .. 60 LOOP
    BEGIN
      PERFORM set_config('lock_timeout', '500ms', true);
      LOCK TABLE llm_budgets, llm_lanes, llm_prices, llm_tenants, llm_agents, llm_models, llm_routes, llmreq_meta
        IN ACCESS EXCLUSIVE MODE;
      PERFORM set_config('lock_timeout', v_usual, true);
      RETURN;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
      PERFORM pg_sleep(0.5);
    END;
  END LOOP;
  RAISE EXCEPTION 'somebody holds llmreq''s tables in a long transaction: end it, then run llmreq migrate again'
    USING ERRCODE = 'lock_not_available';
END
$$
"""

# Our own triggers take these updates for an operator's: a budget would wake what waits for it, an agent's version may not change.
TRIGGERS = """
DO $$
DECLARE
  v_trigger record;
BEGIN
  FOR v_trigger IN
    SELECT t.tgrelid::regclass AS relation, t.tgname AS name FROM pg_trigger t
    WHERE t.tgrelid IN ('llm_budgets'::regclass, 'llm_agents'::regclass, 'llm_lanes'::regclass, 'llm_tenants'::regclass)
      AND t.tgname LIKE 'llmreq\\_%' AND NOT t.tgisinternal
  LOOP
    EXECUTE format('ALTER TABLE %s <SWITCH> TRIGGER %I', v_trigger.relation, v_trigger.name);
  END LOOP;
END
$$
"""

USD = (
    "input_usd_per_mtok, cache_read_usd_per_mtok, cache_write_5m_usd_per_mtok, cache_write_1h_usd_per_mtok,"
    " output_usd_per_mtok"
)
DECIMALS = each("scale(@)", USD)
PRICE = filled("least(<USD>) >= 0 AND greatest(<USD>) <= 1000000 AND greatest(<DECIMALS>) <= 20")
PRICE_LABELS = """
    octet_length(provider) <= 100 AND octet_length(model) <= 500 AND octet_length(service_tier) <= 100
    AND octet_length(source) <= 2000"""
FIXED_USD = each("@ = CASE WHEN @ <= 1000000 THEN round(@, 20) END", USD)
PRICES = filled("""
UPDATE llm_prices SET
  <FIXED_USD>
WHERE (<PRICE>) IS FALSE;
UPDATE llm_prices
SET provider = CASE WHEN octet_length(provider) <= 100 THEN provider ELSE left(provider, 10) || md5(provider) END,
    model = CASE WHEN octet_length(model) <= 500 THEN model ELSE left(model, 100) || md5(model) END,
    service_tier = CASE WHEN octet_length(service_tier) <= 100 THEN service_tier
                        ELSE left(service_tier, 10) || md5(service_tier) END,
    source = left(source, 500)
WHERE (<PRICE_LABELS>) IS FALSE;
ALTER TABLE llm_prices
  DROP CONSTRAINT llm_prices_not_negative_check,
  ADD CONSTRAINT llm_prices_usd_check CHECK (<PRICE>),
  ADD CONSTRAINT llm_prices_labels_check CHECK (<PRICE_LABELS>);
""")

# A tenant whose name is too long for any request to carry is nobody's.
TENANTS = """
DELETE FROM llm_tenants WHERE octet_length(tenant_id) > 500;
UPDATE llm_tenants SET weight = CASE WHEN weight = 'NaN' THEN 1 ELSE greatest(0.001, least(1000000, weight)) END
WHERE weight NOT BETWEEN 0.001 AND 1000000;
ALTER TABLE llm_tenants
  DROP CONSTRAINT llm_tenants_weight_check,
  ADD CONSTRAINT llm_tenants_weight_check CHECK (weight BETWEEN 0.001 AND 1000000 AND octet_length(tenant_id) <= 500);
"""

# Every claim and finish updates its lane, so these are two short expressions. No bound for names: a claim makes the row of
# whatever lane has requests, and must never be refused.
SET = "requests_per_minute, tokens_per_minute, input_tokens_per_minute, output_tokens_per_minute"
SEEN = each("seen_@", SET)
LEVELS = "request_level, token_level, input_level, output_level, mean_output_tokens"
COUNTS = "in_flight, consecutive_failures, breaker_opened"
LIMITS = filled("""
    least(<SET>) >= 0.000001 AND least(<SEEN>) >= 0 AND greatest(<SET>, <SEEN>) <= 1000000000000
    AND safety_margin BETWEEN 0.001 AND 1 AND burst_seconds BETWEEN 0.001 AND 3600 AND max_in_flight BETWEEN 1 AND 1000000""")
STATE = filled("""
    greatest(<LEVELS>, virtual_time) < 'Infinity' AND least(<LEVELS>, virtual_time) > '-Infinity' AND isfinite(refilled_at)
    AND least(<COUNTS>, turns) >= 0 AND greatest(<COUNTS>) <= 2000000000 AND turns <= 2000000000000000000""")
FIXED_SET = each("@ = CASE WHEN @ <= 1e12 THEN greatest(@, 0.000001) END", SET)
FIXED_SEEN = each("@ = CASE WHEN @ BETWEEN 0 AND 1e12 THEN @ END", SEEN)
FIXED_LEVELS = each("@ = CASE WHEN abs(@) < 'Infinity' THEN @ END", LEVELS)
FIXED_COUNTS = each("@ = greatest(0, least(@, 1000000000))", COUNTS)
LANES = filled("""
UPDATE llm_lanes SET
  <FIXED_SET>,
  <FIXED_SEEN>,
  <FIXED_LEVELS>,
  <FIXED_COUNTS>,
  virtual_time = CASE WHEN abs(virtual_time) < 'Infinity' THEN virtual_time ELSE 0 END,
  refilled_at = CASE WHEN isfinite(refilled_at) THEN refilled_at END,
  turns = greatest(0, least(turns, 1000000000000000000)),
  safety_margin = greatest(safety_margin, 0.001),
  burst_seconds = CASE WHEN burst_seconds = 'NaN' THEN 5 ELSE greatest(0.001, least(3600, burst_seconds)) END,
  max_in_flight = least(max_in_flight, 1000000)
WHERE (<LIMITS>) IS FALSE OR (<STATE>) IS FALSE;
ALTER TABLE llm_lanes
  DROP CONSTRAINT llm_lanes_limits_check, DROP CONSTRAINT llm_lanes_burst_seconds_check,
  DROP CONSTRAINT llm_lanes_safety_margin_check, DROP CONSTRAINT llm_lanes_max_in_flight_check,
  DROP CONSTRAINT llm_lanes_in_flight_check,
  ADD CONSTRAINT llm_lanes_limits_check CHECK (<LIMITS>),
  ADD CONSTRAINT llm_lanes_state_check CHECK (<STATE>);
""")

# A cap that is no number capped nothing; it becomes the largest one.
SUMS = "spent_usd, held_usd, needs_usd, warned"
TOKENS = "spent_tokens, held_tokens, needs_tokens"
CAP = """
    num_nonnulls(limit_usd, limit_tokens) > 0 AND limit_usd BETWEEN 0 AND 1000000000000
    AND limit_tokens BETWEEN 0 AND 1000000000000000
    AND cardinality(warn_at) <= 20 AND array_position(warn_at, NULL) IS NULL AND 0 < ALL (warn_at) AND 10 >= ALL (warn_at)"""
BOOKS = filled("""
    greatest(<SUMS>) <= 1000000000000000000 AND least(<SUMS>) >= -1000000000000000000
    AND greatest(<TOKENS>) <= 2000000000000000000 AND least(<TOKENS>) >= -2000000000000000000
    AND period_start < '3000-01-01 00:00:00+00'""")
FIXED_SUMS = each("@ = CASE WHEN @ BETWEEN -1e18 AND 1e18 THEN @ ELSE 0 END", SUMS)
FIXED_TOKENS = each("@ = CASE WHEN @::numeric BETWEEN -2e18 AND 2e18 THEN @ ELSE 0 END", TOKENS)
BUDGETS = filled("""
UPDATE llm_budgets SET
  <FIXED_SUMS>,
  <FIXED_TOKENS>,
  limit_usd = least(limit_usd, 1e12), limit_tokens = least(limit_tokens, 1000000000000000),
  warn_at = ARRAY(SELECT DISTINCT w FROM unnest(warn_at) w WHERE w > 0 AND w <= 10 ORDER BY w LIMIT 20),
  period_start = CASE WHEN period_start < '3000-01-01 00:00:00+00' THEN period_start ELSE 'epoch' END
WHERE (<CAP>) IS FALSE OR (<BOOKS>) IS FALSE;
UPDATE llm_budgets SET subject = left(subject, 100) || md5(subject) WHERE octet_length(subject) > 1000;
ALTER TABLE llm_budgets
  DROP CONSTRAINT llm_budgets_limit_check, DROP CONSTRAINT llm_budgets_subject_check,
  ADD CONSTRAINT llm_budgets_limit_check CHECK (<CAP>),
  ADD CONSTRAINT llm_budgets_books_check CHECK (<BOOKS>),
  ADD CONSTRAINT llm_budgets_subject_check CHECK ((scope = 'all') = (subject = '') AND octet_length(subject) <= 1000);
""")

AGENT = """
    chunk_tokens <= 10000000 AND context_tokens <= 10000000 AND max_output_tokens <= 1000000
    AND octet_length(tenant_id) <= 500 AND octet_length(task_type) <= 400 AND octet_length(provider) <= 100
    AND octet_length(model) <= 500"""
MODEL = """
    context_tokens <= 100000000 AND max_output_tokens BETWEEN 1 AND 100000000 AND octet_length(provider) <= 100
    AND octet_length(model) <= 500 AND octet_length(source) <= 2000"""
AGENTS = filled("""
UPDATE llm_agents
SET chunk_tokens = least(chunk_tokens, 10000000), overlap_tokens = least(overlap_tokens, least(chunk_tokens, 10000000) / 2),
    context_tokens = least(context_tokens, 10000000), max_output_tokens = least(max_output_tokens, 1000000),
    tenant_id = CASE WHEN octet_length(tenant_id) <= 500 THEN tenant_id ELSE left(tenant_id, 80) || md5(tenant_id) END,
    task_type = left(task_type, 100), provider = left(provider, 25), model = left(model, 125)
WHERE (<AGENT>) IS FALSE;
ALTER TABLE llm_agents ADD CONSTRAINT llm_agents_bounds_check CHECK (<AGENT>);

DELETE FROM llm_models WHERE octet_length(provider) > 100 OR octet_length(model) > 500;
UPDATE llm_models
SET context_tokens = least(context_tokens, 100000000), source = left(source, 500),
    max_output_tokens = CASE WHEN max_output_tokens > 0 THEN least(max_output_tokens, 100000000) END
WHERE (<MODEL>) IS FALSE;
ALTER TABLE llm_models ADD CONSTRAINT llm_models_bounds_check CHECK (<MODEL>);
""")

# A route without any lane to call is switched off, and its note says what it had.
CANDIDATES = """
    cardinality(candidates) BETWEEN 1 AND 20 AND array_position(candidates, NULL) IS NULL
    AND NOT jsonb_path_exists(to_jsonb(candidates), '$[*] ? (!(@ like_regex "^[^/]{1,100}/.{1,250}$"))')
    AND octet_length(task_type) <= 400"""
ROUTES = filled("""
UPDATE llm_routes r
SET candidates = CASE WHEN good.lanes = '{}' THEN '{local/rules}' ELSE good.lanes END,
    enabled = r.enabled AND good.lanes <> '{}',
    note = CASE WHEN good.lanes <> '{}' THEN r.note
                ELSE left('no candidate was a lane: ' || array_to_string(r.candidates, ', ', 'NULL'), 500) END
FROM llm_routes x
CROSS JOIN LATERAL (
  SELECT ARRAY(SELECT c FROM unnest(x.candidates) WITH ORDINALITY AS u (c, n)
               WHERE c ~ '^[^/\\n]{1,100}/[^\\n]{1,250}$' ORDER BY n) AS lanes) good
WHERE x.id = r.id AND good.lanes <> x.candidates;
UPDATE llm_routes SET task_type = left(task_type, 60) || md5(task_type), enabled = false WHERE octet_length(task_type) > 400;
ALTER TABLE llm_routes
  DROP CONSTRAINT llm_routes_candidates_check,
  ADD CONSTRAINT llm_routes_candidates_check CHECK (<CANDIDATES>);
""")

# What claims and finishes read as a number. A setting that is none is as if it were not there.
SETTING = """
    key <> 'unpriced_usd_per_mtok' AND key NOT LIKE 'warn\\_%' OR value ~ '^[0-9]{1,15}(\\.[0-9]{1,20})?$'"""
META = filled("""
DELETE FROM llmreq_meta WHERE (<SETTING>) IS FALSE;
ALTER TABLE llmreq_meta ADD CONSTRAINT llmreq_meta_money_check CHECK (<SETTING>);
""")

AS_BEFORE = filled("""
ALTER TABLE llmreq_meta DROP CONSTRAINT llmreq_meta_money_check;
ALTER TABLE llm_routes
  DROP CONSTRAINT llm_routes_candidates_check,
  ADD CONSTRAINT llm_routes_candidates_check CHECK (cardinality(candidates) BETWEEN 1 AND 20);
ALTER TABLE llm_models DROP CONSTRAINT llm_models_bounds_check;
ALTER TABLE llm_agents DROP CONSTRAINT llm_agents_bounds_check;
ALTER TABLE llm_budgets
  DROP CONSTRAINT llm_budgets_books_check, DROP CONSTRAINT llm_budgets_subject_check,
  DROP CONSTRAINT llm_budgets_limit_check,
  ADD CONSTRAINT llm_budgets_subject_check CHECK ((scope = 'all') = (subject = '')),
  ADD CONSTRAINT llm_budgets_limit_check CHECK (
    num_nonnulls(limit_usd, limit_tokens) > 0 AND least(limit_usd, limit_tokens) >= 0);
ALTER TABLE llm_lanes
  DROP CONSTRAINT llm_lanes_state_check, DROP CONSTRAINT llm_lanes_limits_check,
  ADD CONSTRAINT llm_lanes_in_flight_check CHECK (in_flight >= 0),
  ADD CONSTRAINT llm_lanes_max_in_flight_check CHECK (max_in_flight > 0),
  ADD CONSTRAINT llm_lanes_safety_margin_check CHECK (safety_margin > 0 AND safety_margin <= 1),
  ADD CONSTRAINT llm_lanes_burst_seconds_check CHECK (burst_seconds > 0),
  ADD CONSTRAINT llm_lanes_limits_check CHECK (least(<SET>) > 0);
ALTER TABLE llm_tenants
  DROP CONSTRAINT llm_tenants_weight_check,
  ADD CONSTRAINT llm_tenants_weight_check CHECK (weight > 0);
ALTER TABLE llm_prices
  DROP CONSTRAINT llm_prices_labels_check, DROP CONSTRAINT llm_prices_usd_check,
  ADD CONSTRAINT llm_prices_not_negative_check CHECK (least(<USD>) >= 0);
""")


def upgrade() -> None:
    op.execute(LOCK)
    op.execute(TRIGGERS.replace("<SWITCH>", "DISABLE"))
    for statements in (PRICES, TENANTS, LANES, BUDGETS, AGENTS, ROUTES, META):
        op.execute(statements)
    op.execute(TRIGGERS.replace("<SWITCH>", "ENABLE"))


def downgrade() -> None:
    op.execute(AS_BEFORE)
