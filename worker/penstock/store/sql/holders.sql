-- Used by migrate.migrate: the three oldest transactions that lock a table of the schema. Index: none. Locks: none.
SELECT a.pid, coalesce(nullif(a.application_name, ''), 'no name') FROM pg_stat_activity AS a
WHERE a.pid <> pg_backend_pid() AND a.pid IN (
  SELECT l.pid FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation JOIN pg_namespace AS n ON n.oid = c.relnamespace
  WHERE l.granted AND n.nspname = 'penstock'
    AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database()))
ORDER BY a.xact_start LIMIT 3
