-- Purpose: for `penstock doctor`, what is wrong in a copy of a database and after manual changes: lagging sequences, queues with
-- jobs below their marks, queues without a row, limits that count wrong, jobs whose worker has no row, and how far ahead of the
-- clock the newest time lies that the database wrote (seconds; the clock was set back).
-- Index: as lagging_sequences, queues_below_marks, miscounted_limits, orphan_queues; job_pick, 1,000 entries of each tended
-- queue. Locks: none.
CREATE OR REPLACE FUNCTION penstock.integrity() RETURNS jsonb LANGUAGE sql
SET enable_seqscan = off
SET enable_bitmapscan = off
SET jit = off
AS $$
  SELECT jsonb_build_object(
    'sequences', (SELECT coalesce(jsonb_agg(to_jsonb(s)), '[]') FROM penstock.lagging_sequences() AS s),
    'below_marks', (SELECT coalesce(jsonb_agg(q.name ORDER BY q.name), '[]') FROM penstock.queues_below_marks() AS b (id)
                    JOIN penstock.queue AS q ON q.id = b.id),
    'orphan_queues', (SELECT coalesce(jsonb_agg(DISTINCT o.id), '[]') FROM penstock.orphan_queues() AS o (id)),
    'limits', (SELECT coalesce(jsonb_agg(q.name ORDER BY q.name), '[]') FROM penstock.miscounted_limits() AS l (id)
               JOIN penstock.queue AS q ON q.id = l.id),
    'strays', (SELECT count(*) FROM penstock.tended_queue AS t, LATERAL (
        SELECT j.worker FROM penstock.job AS j WHERE j.queue = t.id AND j.ord IS NOT NULL
        ORDER BY j.queue, j.priority, j.ord LIMIT 1000) AS s
      WHERE s.worker IS NOT NULL AND NOT EXISTS (SELECT FROM penstock.worker AS w WHERE w.id = s.worker)),
    'clock_lag', (SELECT extract(epoch FROM max(t.at) - clock_timestamp()) FROM (
        SELECT max(w.renewed_at) AS at FROM penstock.worker AS w
        UNION ALL SELECT max(l.held_since) FROM penstock.leader AS l
        UNION ALL SELECT max(q.marks_at) FROM penstock.tended_queue AS v, LATERAL (
          SELECT x.marks_at FROM penstock.queue AS x WHERE x.id = v.id LIMIT 1) AS q) AS t))
$$;
