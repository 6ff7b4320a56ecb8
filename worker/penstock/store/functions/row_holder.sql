-- Purpose: the transaction that locks a row, by the row's xmax: NULL if it has ended, has just started a statement, or if
-- several share the row. A prepared transaction has no process and is named by its identifier. The name and the state of
-- another login's session are NULL if the schema's owner may not see them.
-- Index: none. Locks: none.
CREATE OR REPLACE FUNCTION penstock.row_holder(p_xmax xid) RETURNS jsonb LANGUAGE sql STABLE AS $$
  SELECT jsonb_build_object('pid', l.pid, 'name', nullif(a.application_name, ''), 'state', a.state, 'prepared', p.gid,
    'seconds', extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, p.prepared)))
  FROM pg_locks AS l LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
  LEFT JOIN pg_prepared_xacts AS p ON l.pid IS NULL AND p.transaction = l.transactionid
  WHERE l.locktype = 'transactionid' AND l.granted AND l.transactionid = p_xmax AND l.pid IS DISTINCT FROM pg_backend_pid()
    AND (a.state IS DISTINCT FROM 'active' OR a.xact_start < clock_timestamp() - interval '1 second')
  LIMIT 1
$$;
