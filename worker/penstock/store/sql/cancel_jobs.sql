-- Used by client.Cancel: one row of two arrays. See functions/cancel_jobs.sql.
SELECT array_agg(id), array_agg(verdict) FROM penstock.cancel_jobs(%s::bigint[], %s::text)
