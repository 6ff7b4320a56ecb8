-- Used by recent_failures.Failures: the latest failures of tended queues, for people. The seconds of a job that waits for its next
-- attempt are negative (in the future), those of a dead letter count since it died.
-- Index: job_due, dead_queue; reads the first 1,000 deferred jobs of a declared or served queue, 10 of another. Locks: none.
SELECT f.id, q.name, f.task, f.attempt, f.max_attempts, f.dead,
       extract(epoch FROM clock_timestamp() - f.at)::double precision, f.error ->> 'type', f.error ->> 'message'
FROM (SELECT t.id, CASE WHEN t.id IN (SELECT v.id FROM penstock.served_queue AS v) THEN 1000 ELSE 10 END AS cap
      FROM penstock.tended_queue AS t) AS v
CROSS JOIN LATERAL (SELECT x.id, x.name FROM penstock.queue AS x WHERE x.id = v.id LIMIT 1) AS q
CROSS JOIN LATERAL (
  (SELECT d.id, d.task, d.attempt, d.max_attempts, true AS dead, d.died_at AS at, d.error
   FROM penstock.dead AS d WHERE d.queue = q.id ORDER BY d.died_at DESC LIMIT %(limit)s::integer)
  UNION ALL
  (SELECT s.id, s.task, s.attempt, s.max_attempts, false, s.due_at, s.errors -> -1
   FROM (SELECT j.id, j.task, j.attempt, j.max_attempts, j.due_at, j.errors FROM penstock.job AS j
         WHERE j.queue = q.id AND j.due_at IS NOT NULL ORDER BY j.due_at LIMIT v.cap) AS s
   WHERE s.errors IS NOT NULL ORDER BY s.due_at LIMIT %(limit)s::integer)
) AS f
ORDER BY f.at DESC LIMIT %(limit)s::integer
