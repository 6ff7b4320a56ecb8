-- Used by Reader.job: the attempts of a job that ended, oldest first. Index: outcome_job. Locks: none.
SELECT to_jsonb(o) FROM (
  SELECT x.attempt, x.state, x.reason, x.claimed_at, x.finished_at, x.duration, x.worker, x.error
  FROM penstock.outcome AS x WHERE x.job_id = %s::bigint ORDER BY x.finished_at, x.attempt LIMIT 1000) AS o
