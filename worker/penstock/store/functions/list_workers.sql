-- Purpose: every worker for people, lost ones too: identity, queues, lease, claims, oldest claim. report is what the worker
-- sent: its running jobs and its last one; the tasks' own text in it only for readers of jobs. In seconds: up since the start,
-- renewed since the last renewal, lease_left until the lease ends (negative: expired).
-- Index: job_pick for the running rows, p_cap of each queue. Locks: none.
CREATE OR REPLACE FUNCTION penstock.list_workers(p_queue text, p_cap integer)
RETURNS TABLE (id bigint, identity text, pod text, node text, version text, queues text[], state text,
               concurrency integer, in_flight bigint, done bigint, up double precision, renewed double precision,
               lease_left double precision, oldest_job bigint, oldest_task text, oldest_claimed double precision,
               http text, report jsonb)
LANGUAGE sql STABLE
SET enable_seqscan = off
SET enable_bitmapscan = off
SET jit = off
AS $$
  WITH running AS MATERIALIZED (
    SELECT DISTINCT ON (s.worker) s.worker, s.id, s.task, s.claimed_at
    FROM (SELECT DISTINCT unnest(w.queues) AS id FROM penstock.worker AS w) AS v,
    LATERAL (SELECT x.id, x.name FROM penstock.queue AS x WHERE x.id = v.id LIMIT 1) AS q, LATERAL (
      SELECT j.worker, j.id, j.task, j.claimed_at FROM penstock.job AS j
      WHERE j.queue = q.id AND j.ord IS NOT NULL ORDER BY j.queue, j.priority, j.ord LIMIT p_cap) AS s
    WHERE s.worker IS NOT NULL AND (p_queue IS NULL OR q.name = p_queue)
    ORDER BY s.worker, s.claimed_at
  )
  SELECT w.id, w.identity, w.pod, w.node, w.version,
         ARRAY(SELECT q.name FROM penstock.queue AS q WHERE q.id = ANY (w.queues) ORDER BY q.name), w.state, w.concurrency,
         (SELECT coalesce(sum(v.value::bigint), 0) FROM jsonb_each_text(w.in_flight) AS v)::bigint,
         (SELECT coalesce(sum(v.value::bigint), 0) FROM jsonb_each_text(w.done) AS v)::bigint,
         extract(epoch FROM clock_timestamp() - w.started_at)::double precision,
         extract(epoch FROM clock_timestamp() - w.renewed_at)::double precision,
         extract(epoch FROM w.lease_until - clock_timestamp())::double precision,
         r.id, r.task, extract(epoch FROM clock_timestamp() - r.claimed_at)::double precision, w.info ->> 'http',
         CASE WHEN has_table_privilege(session_user, 'penstock.jobs', 'SELECT') THEN w.report ELSE w.report
           || jsonb_build_object('jobs', (SELECT coalesce(jsonb_agg(v.job - 'progress'), '[]')
                                          FROM jsonb_array_elements(w.report -> 'jobs') AS v (job))) END
  FROM penstock.worker AS w LEFT JOIN running AS r ON r.worker = w.id
  WHERE p_queue IS NULL OR w.queues && ARRAY(SELECT q.id FROM penstock.queue AS q WHERE q.name = p_queue)
  ORDER BY w.id
$$;
