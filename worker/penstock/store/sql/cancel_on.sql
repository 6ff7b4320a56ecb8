-- Used by lookup.cancel_on: the verdict on one job, NULL if it has ended. See functions/cancel_jobs.sql.
SELECT (SELECT max(c.verdict) FROM penstock.cancel_jobs(ARRAY[%s::bigint], %s::text) AS c)
