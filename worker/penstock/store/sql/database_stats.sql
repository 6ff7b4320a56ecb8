-- Used by database_stats.py: dead tuples and connections; reads no table. The connections are of all clients of the server, which no
-- role needs a right to count; those reserved for superusers are not ours.
SELECT pg_stat_get_dead_tuples('penstock.job'::regclass), pg_stat_get_live_tuples('penstock.job'::regclass),
       (SELECT coalesce(sum(d.numbackends), 0) FROM pg_stat_database AS d),
       current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer
