-- llmreq_uuid7() → uuid
-- A version-7 UUID: 48 bits of Unix milliseconds, then random. Rows inserted together lie together in the primary key,
-- so a busy insert touches the same few index pages. Written out because uuidv7() exists only from PostgreSQL 18 on.
CREATE OR REPLACE FUNCTION llmreq_uuid7() RETURNS uuid
LANGUAGE sql VOLATILE PARALLEL SAFE
AS $$
  SELECT encode(
    set_bit(set_bit(
      overlay(uuid_send(gen_random_uuid())
              PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
              FROM 1 FOR 6),
      52, 1), 53, 1),
    'hex')::uuid
$$;
