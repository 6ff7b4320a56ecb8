-- Purpose: note how the jobs of ticks ended, for the last success and the history, and start the ticks that waited for them.
-- A job that is neither live, ended nor a dead letter any more is gone: discarded, or its outcome was dropped. First finds,
-- without a lock, the schedules with a job that is not live any more, or with nothing but ticks that wait; locks these, and decides
-- again. p_limit rows, the oldest ticks. Returns how many ticks were settled, and how many are still open.
-- Index: schedule_tick_open; the keys of job, outcome and dead: a job is looked up by a scalar subquery, which no plan turns into
-- a join with the whole table. Locks: the rows of the schedules that have something to settle, skip locked; then as enqueue_many.
CREATE OR REPLACE FUNCTION penstock.settle_schedules(p_limit integer, OUT settled integer, OUT still_open integer) LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off AS $$
DECLARE
  v_ids bigint[];
BEGIN
  SELECT array_agg(o.schedule) FILTER (WHERE o.live = 0 OR o.live < o.enqueued), coalesce(sum(o.ticks), 0), 0
  INTO v_ids, still_open, settled
  FROM (SELECT t.schedule, count(*) AS ticks, count(*) FILTER (WHERE t.state = 'enqueued') AS enqueued,
               count((SELECT j.id FROM penstock.job AS j WHERE j.id = t.job)) AS live
        FROM penstock.schedule_tick AS t WHERE t.state IN ('due', 'waiting', 'enqueued') GROUP BY t.schedule) AS o;
  IF v_ids IS NULL THEN
    RETURN;
  END IF;
  v_ids := ARRAY(SELECT s.id FROM penstock.schedule AS s WHERE s.id = ANY (v_ids) ORDER BY s.id FOR UPDATE SKIP LOCKED);
  WITH ended AS (
    SELECT t.schedule, t.tick, t.manual, coalesce(o.state, CASE WHEN d.id IS NOT NULL THEN 'failed' ELSE 'gone' END) AS state,
           coalesce(o.finished_at, d.died_at, clock_timestamp()) AS at
    FROM (SELECT x.schedule, x.tick, x.manual, x.job FROM penstock.schedule_tick AS x
          WHERE x.schedule = ANY (v_ids) AND x.state = 'enqueued'
            AND (SELECT j.id FROM penstock.job AS j WHERE j.id = x.job) IS NULL
          ORDER BY x.tick LIMIT p_limit) AS t
    LEFT JOIN LATERAL (SELECT p.state, p.finished_at FROM penstock.outcome AS p WHERE p.job_id = t.job AND p.final
                       ORDER BY p.finished_at DESC LIMIT 1) AS o ON true
    LEFT JOIN penstock.dead AS d ON d.id = t.job
  ), noted AS (
    UPDATE penstock.schedule_tick AS t SET state = e.state, ended_at = e.at FROM ended AS e
    WHERE t.schedule = e.schedule AND t.tick = e.tick AND t.manual = e.manual
    RETURNING t.schedule, t.tick, t.state, t.ended_at
  ), succeeded AS (
    UPDATE penstock.schedule AS s
    SET last_success_at = greatest(s.last_success_at, n.at),
        unsuccessful_since = CASE WHEN n.tick < s.last_tick AND n.tick < s.unsuccessful_since THEN s.unsuccessful_since
                                  WHEN n.tick < s.last_tick THEN s.last_tick END,
        expected_by = CASE WHEN n.tick < s.last_tick AND n.tick < s.unsuccessful_since THEN s.expected_by
                           WHEN n.tick < s.last_tick THEN s.next_at END
    FROM (SELECT x.schedule, max(x.ended_at) AS at, max(x.tick) AS tick FROM noted AS x WHERE x.state = 'completed' GROUP BY x.schedule) AS n
    WHERE s.id = n.schedule
  )
  SELECT count(*) INTO settled FROM noted;
  PERFORM penstock.start_ticks(ARRAY(SELECT DISTINCT t.schedule FROM penstock.schedule_tick AS t
    WHERE t.schedule = ANY (v_ids) AND t.state = 'waiting'));
  SELECT count(*) INTO still_open FROM penstock.schedule_tick AS t WHERE t.state IN ('due', 'waiting', 'enqueued');
END $$;
