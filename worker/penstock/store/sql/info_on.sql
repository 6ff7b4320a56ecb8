-- Used by lookup.info_on: one job by id as JSON, for any driver. Index: as info. Locks: none.
SELECT (
  SELECT to_jsonb(v) FROM penstock.jobs AS v WHERE v.id = %s::bigint ORDER BY v.finished_at DESC NULLS FIRST LIMIT 1
)
