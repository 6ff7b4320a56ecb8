-- Used by Reader.job: one job without contents. Index: as show_job. Locks: none.
SELECT to_jsonb(v) FROM penstock.jobs_redacted AS v WHERE v.id = %s::bigint ORDER BY v.finished_at DESC NULLS FIRST LIMIT 1
