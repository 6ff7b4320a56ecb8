-- Used by Registry.renew. See functions/renew.sql.
SELECT state, fenced_ids, fenced_tokens, cancelled_ids, pg_postmaster_start_time()::text
FROM penstock.renew(%s::bigint, %s::double precision, %s::bigint[], %s::bigint[], %s::jsonb, %s::jsonb, %s::boolean,
  %s::jsonb)
