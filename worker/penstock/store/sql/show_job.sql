-- Used by Reader.job: all of one job, ended ones too. Index: job's key, dead's key, outcome_job. Locks: none.
SELECT to_jsonb(v) FROM penstock.jobs AS v WHERE v.id = %s::bigint ORDER BY v.finished_at DESC NULLS FIRST LIMIT 1
