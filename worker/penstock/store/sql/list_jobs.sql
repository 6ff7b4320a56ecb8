-- Used by Reader.jobs. See functions/list_jobs.sql.
SELECT id, state, queue, task, priority, attempt, max_attempts, crashes, created_at, ready_at, due_at, claimed_at,
       finished_at, worker, reason, error, message
FROM penstock.list_jobs(%s::text[], %s::text, %s::text, %s::text, %s::timestamptz, %s::bigint, %s::integer)
