-- Used by transaction.JobTransaction. See functions/complete.sql.
SELECT penstock.complete(%s::bigint, %s::bigint, %s::bigint, %s::double precision)
