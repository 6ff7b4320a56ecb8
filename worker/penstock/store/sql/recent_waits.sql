-- Used by operator_queries.py. See functions/recent_waits.sql.
SELECT queue, p95 FROM penstock.recent_waits(%s::double precision, %s::integer)
