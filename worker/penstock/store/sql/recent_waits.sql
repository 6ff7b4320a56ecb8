-- Used by closely.py. See functions/recent_waits.sql.
SELECT queue, p95 FROM penstock.recent_waits(%s::double precision, %s::integer)
