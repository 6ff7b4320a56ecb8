-- Used by Registry.begin_drain. See functions/begin_drain.sql.
SELECT penstock.begin_drain(%s::bigint)
