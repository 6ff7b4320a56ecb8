-- Used by Store.cancel_jobs. See functions/cancel_jobs.sql.
SELECT id, verdict FROM penstock.cancel_jobs(%s::bigint[], %s::text)
