-- Used by vitals.py: how the database bears up; no table is read. The connections are of all clients of the server, which
-- no role needs a right to count; those kept for superusers are not for us.
SELECT pg_stat_get_dead_tuples('penstock.job'::regclass), pg_stat_get_live_tuples('penstock.job'::regclass),
       (SELECT coalesce(sum(d.numbackends), 0) FROM pg_stat_database AS d),
       current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer
