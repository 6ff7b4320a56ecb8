-- Used by Jobs.claim. See functions/claim.sql.
SELECT id, attempt, max_attempts, crashes, priority, ord, task, args, headers, wait
FROM penstock.claim(%s::bigint, %s::integer, %s::integer, %s::bigint)
