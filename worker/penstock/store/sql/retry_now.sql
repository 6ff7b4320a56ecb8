-- Used by Store.retry_now. See functions/retry_now.sql.
SELECT penstock.retry_now(%s::bigint[])
