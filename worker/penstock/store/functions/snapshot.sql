-- Purpose: what the autoscaler and the live view see: every queue in one query. Counts stop at p_cap (ready, deferred and
-- dead each); below it they are exact. due_soon counts what falls due within p_soon seconds. Running rows are counted in
-- the same scan; past the cap the workers' own reports are used. workers lists those of the queue that are not lost.
-- Index: job_pick, job_due, dead_queue. Locks: none.
CREATE OR REPLACE FUNCTION penstock.snapshot(p_cap integer, p_soon double precision)
RETURNS TABLE (queue integer, name text, paused boolean, declared boolean, ready bigint, capped boolean, deferred bigint,
               due_soon bigint, in_flight bigint, dead bigint, oldest double precision, workers jsonb)
LANGUAGE sql STABLE
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET jit = off
AS $$
  SELECT q.id, q.name, q.paused_at IS NOT NULL, q.declared_by IS NOT NULL, r.ready, r.scanned > p_cap, d.deferred,
         d.due_soon, CASE WHEN r.scanned > p_cap THEN greatest(r.running, w.in_flight) ELSE r.running END, x.dead,
         extract(epoch FROM clock_timestamp() - r.oldest)::double precision, w.workers
  FROM penstock.queue AS q
  CROSS JOIN LATERAL (
    SELECT count(*) AS scanned, count(*) FILTER (WHERE s.token IS NULL) AS ready,
           count(*) FILTER (WHERE s.token IS NOT NULL) AS running, min(s.ready_at) FILTER (WHERE s.token IS NULL) AS oldest
    FROM (SELECT j.token, j.ready_at FROM penstock.job AS j WHERE j.queue = q.id AND j.ord IS NOT NULL
          ORDER BY j.queue, j.priority, j.ord LIMIT p_cap + 1) AS s) AS r
  CROSS JOIN LATERAL (
    SELECT count(*) AS deferred, count(*) FILTER (WHERE s.due_at <= clock_timestamp() + make_interval(secs => p_soon))
             AS due_soon
    FROM (SELECT j.due_at FROM penstock.job AS j WHERE j.queue = q.id AND j.due_at IS NOT NULL
          ORDER BY j.queue, j.due_at LIMIT p_cap) AS s) AS d
  CROSS JOIN LATERAL (SELECT count(*) AS dead FROM (SELECT FROM penstock.dead AS e WHERE e.queue = q.id LIMIT p_cap) AS s)
    AS x
  CROSS JOIN LATERAL (
    SELECT coalesce(sum((a.in_flight ->> q.name)::bigint), 0)::bigint AS in_flight,
           coalesce(jsonb_agg(jsonb_build_object(
             'id', a.id, 'identity', a.identity, 'pod', a.pod, 'state', a.state, 'concurrency', a.concurrency,
             'in_flight', coalesce((a.in_flight ->> q.name)::bigint, 0), 'done', coalesce((a.done ->> q.name)::bigint, 0),
             'lease_left', extract(epoch FROM a.lease_until - clock_timestamp()), 'info', a.info)), '[]') AS workers
    FROM penstock.worker AS a WHERE q.id = ANY (a.queues) AND a.state <> 'lost') AS w
$$;
