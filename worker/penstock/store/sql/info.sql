-- Used by client.Info: one job by id, ended ones too. Index: job's key, dead's key, outcome_job. Locks: none.
SELECT id, state, queue, task, priority, attempt, max_attempts, crashes, created_at, ready_at, due_at, claimed_at,
       finished_at, worker, reason, args, headers, errors, result, progress
FROM penstock.jobs WHERE id = %s::bigint
ORDER BY finished_at DESC NULLS FIRST LIMIT 1
