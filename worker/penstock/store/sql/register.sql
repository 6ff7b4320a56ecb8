-- Used by Registry.register. See functions/register.sql.
SELECT worker, queue, pg_postmaster_start_time()::text
FROM penstock.register(%s::text, %s::text, %s::text, %s::text, %s::text, %s::integer, %s::double precision, %s::jsonb)
