-- Purpose: the facts about one job from which `penstock jobs why` derives why it is not running; no arguments, results,
-- headers, messages or tracebacks. `job` is null if there is none. Seconds count from now, the past positive; jobs ahead are
-- counted up to 10,000 rows. One statement: all facts are of one moment. `locks` names the transactions that lock the rows
-- which the job needs.
-- Index: job's key, dead's key, outcome_job; job_pick for the jobs ahead; job_unique. Locks: none.
CREATE OR REPLACE FUNCTION penstock.why_job(p_id bigint) RETURNS jsonb
LANGUAGE sql STABLE
SET enable_seqscan = off
SET enable_bitmapscan = off
SET jit = off
AS $$
  WITH live AS (SELECT j.*, j.errors -> -1 AS last_error FROM penstock.job AS j WHERE j.id = p_id),
  dead AS (SELECT d.* FROM penstock.dead AS d WHERE d.id = p_id),
  it AS (
    SELECT v.id, v.state, v.queue, v.task, v.priority, v.attempt, v.max_attempts, v.crashes, v.reason, v.worker,
           v.created_at, v.ready_at, v.due_at, v.claimed_at, v.finished_at
    FROM penstock.jobs AS v WHERE v.id = p_id ORDER BY v.finished_at DESC NULLS FIRST LIMIT 1
  ), w AS (
    SELECT a.id, a.identity, a.pod, a.state, a.concurrency, extract(epoch FROM a.lease_until - clock_timestamp()) AS lease_left,
           coalesce((a.in_flight ->> it.queue)::integer, 0) AS in_flight, q.id = ANY (a.queues) AS serves
    FROM it JOIN penstock.queue AS q ON q.name = it.queue JOIN penstock.worker AS a ON q.id = ANY (a.queues) OR a.id = it.worker
  )
  SELECT (SELECT jsonb_build_object('running', count(*), 'suspect', min(s.id) FILTER (WHERE s.crashes >= 2))
      FROM live AS m, LATERAL (SELECT j.id, j.crashes, j.token FROM penstock.job AS j
        WHERE j.queue = m.queue AND j.ord IS NOT NULL ORDER BY j.queue, j.priority, j.ord LIMIT 10000) AS s
      WHERE s.token IS NOT NULL AND s.id <> m.id) || jsonb_build_object(
    'now', clock_timestamp(),
    'job', (SELECT to_jsonb(it) || jsonb_build_object(
        'waits', extract(epoch FROM clock_timestamp() - it.ready_at), 'runs', extract(epoch FROM clock_timestamp() - it.claimed_at),
        'due_in', extract(epoch FROM it.due_at - clock_timestamp()),
        'ended', extract(epoch FROM clock_timestamp() - it.finished_at),
        'incompatible', (SELECT extract(epoch FROM clock_timestamp() - live.incompatible_since) FROM live),
        'cancel', coalesce((SELECT live.cancel FROM live), false),
        'deadline_in', (SELECT extract(epoch FROM live.deadline - clock_timestamp()) FROM live),
        'error', coalesce((SELECT live.last_error ->> 'type' FROM live), (SELECT dead.error ->> 'type' FROM dead))) FROM it),
    'queue', (SELECT jsonb_build_object('name', q.name, 'declared', q.declared_by IS NOT NULL, 'paused_at', q.paused_at,
        'paused_by', q.paused_by, 'by_declarer', coalesce(q.paused_by = q.declared_by, false),
        'limited', l.queue IS NOT NULL, 'max_in_flight', l.max_in_flight,
        'in_flight', l.in_flight - (SELECT coalesce(sum(r.amount), 0) FROM penstock.limit_return AS r WHERE r.queue = q.id))
      FROM it JOIN penstock.queue AS q ON q.name = it.queue LEFT JOIN penstock.queue_limit AS l ON l.queue = q.id),
    'workers', (SELECT coalesce(jsonb_agg(to_jsonb(w) ORDER BY w.id), '[]') FROM w),
    'higher', (SELECT count(*) FROM live AS m, LATERAL (SELECT FROM penstock.job AS j
        WHERE j.queue = m.queue AND j.priority < m.priority AND j.ord IS NOT NULL AND j.token IS NULL LIMIT 10000) AS s),
    'earlier', (SELECT count(*) FROM live AS m, LATERAL (SELECT FROM penstock.job AS j WHERE j.queue = m.queue
        AND j.priority = m.priority AND j.ord < m.ord AND j.token IS NULL LIMIT 10000) AS s),
    'below_mark', (SELECT coalesce(live.ord < q.marks[live.priority + 1], false) FROM live JOIN penstock.queue AS q ON q.id = live.queue),
    'key_holder', (SELECT j.id FROM dead JOIN penstock.job AS j ON j.unique_key = dead.unique_key),
    'locks', jsonb_build_object(
      'job', (SELECT penstock.row_holder(j.xmax) FROM penstock.job AS j WHERE j.id = p_id),
      'limit', (SELECT penstock.row_holder(l.xmax) FROM live AS m JOIN penstock.queue_limit AS l ON l.queue = m.queue LIMIT 1),
      'worker', (SELECT penstock.row_holder(w.xmax) FROM live AS m JOIN penstock.worker AS w ON w.id = m.worker),
      'leader', (SELECT penstock.row_holder(l.xmax) FROM penstock.leader AS l WHERE l.name = 'maintenance')),
    'leader', (SELECT jsonb_build_object('holder', l.holder, 'lease_left', extract(epoch FROM l.lease_until - clock_timestamp()))
      FROM penstock.leader AS l WHERE l.name = 'maintenance'))
$$;
