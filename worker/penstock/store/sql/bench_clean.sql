-- Used by bench_queue.Scratch: deletes everything of a scratch queue, and nothing of any other name. Index: job_pick for jobs, none for
-- outcomes. Locks: the rows.
WITH q AS (SELECT x.id FROM penstock.queue AS x WHERE x.name = %s::text AND x.name LIKE 'penstock-bench-%%'),
jobs AS (DELETE FROM penstock.job AS j USING q WHERE j.queue = q.id),
outcomes AS (DELETE FROM penstock.outcome AS o USING q WHERE o.queue = q.id),
letters AS (DELETE FROM penstock.dead AS d USING q WHERE d.queue = q.id)
DELETE FROM penstock.queue AS x USING q WHERE x.id = q.id RETURNING x.id
