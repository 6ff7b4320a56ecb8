-- Used by dead_letters.DeadLetters: all of one dead letter. Index: dead's key. Locks: none.
SELECT d.id, q.name, d.task, d.reason, d.attempt, d.max_attempts, d.crashes, d.created_at, d.died_at, d.error ->> 'type',
       d.error ->> 'message', d.priority, d.worker, d.unique_key, d.headers, d.args,
       CASE WHEN d.error IS NULL THEN coalesce(d.errors, '[]') ELSE coalesce(d.errors, '[]') || d.error END, d.forensics
FROM penstock.dead AS d JOIN penstock.queue AS q ON q.id = d.queue WHERE d.id = %(id)s::bigint
