-- Used by Jobs.retry_now. See functions/retry_now.sql.
SELECT penstock.retry_now(%s::bigint[])
