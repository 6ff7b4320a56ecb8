-- Used by diagnostics.Checkup: facts about the server and the schema that any login may see. Index: the catalog's own. Locks: none.
WITH n AS (SELECT x.oid, x.nspowner, has_schema_privilege(x.oid, 'USAGE') AS usage FROM pg_namespace AS x WHERE x.nspname = 'penstock')
SELECT jsonb_build_object(
  'version', current_setting('server_version'), 'version_num', current_setting('server_version_num')::integer,
  'standby', pg_is_in_recovery(), 'read_only', current_setting('default_transaction_read_only') = 'on',
  'database', current_database(), 'login', session_user,
  'clock', extract(epoch FROM clock_timestamp()), 'up', extract(epoch FROM clock_timestamp() - pg_postmaster_start_time()),
  'superuser', r.rolsuper, 'login_limit', r.rolconnlimit,
  'login_connections', (SELECT count(*) FROM pg_stat_activity AS a WHERE a.usename = session_user),
  'may_create', has_database_privilege(current_database(), 'CREATE'),
  'schema', EXISTS (SELECT FROM n), 'usage', (SELECT n.usage FROM n),
  'owner', (SELECT pg_has_role(session_user, n.nspowner, 'USAGE') FROM n),
  'functions', (SELECT coalesce(jsonb_object_agg(f.name, f.may), '{}') FROM (
      SELECT p.proname AS name, bool_and(has_function_privilege(p.oid, 'EXECUTE')) AS may
      FROM n JOIN pg_proc AS p ON p.pronamespace = n.oid GROUP BY p.proname) AS f),
  'readable', (SELECT coalesce(jsonb_agg(c.relname ORDER BY c.relname), '[]') FROM n JOIN pg_class AS c ON c.relnamespace = n.oid
      WHERE c.relkind IN ('r', 'p', 'v') AND has_table_privilege(c.oid, 'SELECT')),
  'last_partition', (SELECT max(c.relname) FROM n JOIN pg_class AS c ON c.relnamespace = n.oid
      WHERE c.relkind = 'r' AND c.relname ~ '^outcome_[0-9]{8}$'),
  'partitions', (SELECT coalesce(jsonb_agg(c.relname ORDER BY c.relname), '[]') FROM n JOIN pg_class AS o ON o.relnamespace = n.oid
      JOIN pg_inherits AS i ON i.inhparent = o.oid JOIN pg_class AS c ON c.oid = i.inhrelid WHERE o.relname = 'outcome'),
  'today', 'outcome_' || to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYYMMDD'),
  'connections', (SELECT count(*) FROM pg_stat_activity AS a WHERE a.backend_type = 'client backend'),
  'max_connections', current_setting('max_connections')::integer
    - coalesce(current_setting('superuser_reserved_connections', true)::integer, 0)
    - coalesce(current_setting('reserved_connections', true)::integer, 0),
  'sees_all', pg_has_role(session_user, 'pg_read_all_stats', 'USAGE'),
  'oldest', (SELECT jsonb_build_object('pid', a.pid, 'name', a.application_name, 'login', a.usename, 'state', a.state,
        'seconds', extract(epoch FROM clock_timestamp() - a.xact_start))
      FROM pg_stat_activity AS a WHERE a.xact_start IS NOT NULL AND a.pid <> pg_backend_pid()
        AND a.backend_type IN ('client backend', 'walsender') ORDER BY a.xact_start LIMIT 1),
  'prepared', (SELECT jsonb_build_object('name', min(x.gid), 'number', count(*),
        'seconds', extract(epoch FROM clock_timestamp() - min(x.prepared)))
      FROM pg_prepared_xacts AS x WHERE x.database = current_database() HAVING count(*) > 0),
  'table_locks', (SELECT coalesce(jsonb_agg(to_jsonb(s)), '[]') FROM (
      SELECT l.pid, p.gid AS prepared, nullif(a.application_name, '') AS name, a.state, 0 AS rows, NULL AS example,
             extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, p.prepared)) AS seconds, array_agg(DISTINCT c.relname) AS tables,
             (SELECT count(DISTINCT b.pid) FROM pg_locks AS b WHERE NOT b.granted AND l.pid = ANY (pg_blocking_pids(b.pid))) AS blocked
      FROM pg_locks AS l JOIN n ON true JOIN pg_class AS c ON c.oid = l.relation AND c.relnamespace = n.oid AND c.relkind IN ('r', 'p')
      LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
      LEFT JOIN pg_prepared_xacts AS p ON l.pid IS NULL AND l.virtualtransaction = '-1/' || p.transaction::text
      WHERE l.granted AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
        AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock') AND l.pid IS DISTINCT FROM pg_backend_pid()
      GROUP BY l.pid, p.gid, p.prepared, a.application_name, a.state, a.xact_start) AS s),
  'tables', (SELECT coalesce(jsonb_agg(jsonb_build_object('name', t.relname, 'live', t.n_live_tup, 'dead', t.n_dead_tup,
        'vacuumed', extract(epoch FROM clock_timestamp() - greatest(t.last_vacuum, t.last_autovacuum))) ORDER BY t.relname), '[]')
      FROM pg_stat_user_tables AS t WHERE t.schemaname = 'penstock' AND t.relname IN ('job', 'queue', 'worker', 'leader', 'queue_limit')))
FROM pg_roles AS r WHERE r.rolname = session_user
