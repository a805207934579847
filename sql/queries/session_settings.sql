-- What a role, a database or the server sets by default and the engine cannot work under; read once per connection.
SELECT
  current_setting('default_transaction_isolation') AS isolation,
  current_setting('standard_conforming_strings') AS standard_conforming_strings,
  current_setting('array_nulls') AS array_nulls,
  current_setting('transaction_read_only') = 'on' AS read_only,
  pg_is_in_recovery() AS standby,
  extract(epoch FROM current_setting('statement_timeout')::interval)::double precision AS statement_timeout,
  extract(epoch FROM current_setting('lock_timeout')::interval)::double precision AS lock_timeout,
  extract(epoch FROM current_setting('transaction_timeout', true)::interval)::double precision AS transaction_timeout,
  current_user::text AS role
