-- Purpose: decide the ticks of many schedules, and move each on to p_next, in one transaction: if next_at, generation and
-- pause are what the caller saw. A caller that comes second, thawed, late, or again after a lost reply finds another next_at. Each tick
-- gets a row, which is unique and outlives the job; a tick up to last_tick is never fired again, whatever a clock or a
-- declaration says. p_of has the schedule of each element of p_ticks. Returns the schedules that were moved, and how many jobs
-- were enqueued for each; those that are not the caller's to decide, or whose ticks lie ahead of the clock, are left out.
-- Index: schedule's key. Locks: the schedules' rows, skip locked; then as enqueue_many.
CREATE OR REPLACE FUNCTION penstock.schedule_fire(
  p_ids bigint[], p_generations bigint[], p_seen timestamptz[], p_next timestamptz[], p_of bigint[], p_ticks timestamptz[]
) RETURNS TABLE (id bigint, fired integer) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  v_now timestamptz := clock_timestamp();
  v_ids bigint[];
BEGIN
  IF (cardinality(p_ids) <> ANY (ARRAY[cardinality(p_generations), cardinality(p_seen), cardinality(p_next)])) IS NOT FALSE
     OR cardinality(p_of) IS DISTINCT FROM cardinality(p_ticks)
     OR EXISTS (SELECT FROM unnest(p_seen, p_next) AS a (seen, next) WHERE a.next <= a.seen)
     OR EXISTS (SELECT FROM unnest(p_of, p_ticks) AS t (of, tick) JOIN unnest(p_ids, p_seen, p_next) AS a (id, seen, next) ON a.id = t.of
                WHERE t.tick IS NULL OR t.tick < a.seen OR t.tick >= a.next) THEN
    RAISE EXCEPTION 'schedule: one generation, next_at and later next time for each id, and each tick between those times'
      USING ERRCODE = '22023';
  END IF;
  v_ids := ARRAY(
    SELECT s.id FROM unnest(p_ids, p_generations, p_seen) AS a (id, generation, seen) JOIN penstock.schedule AS s ON s.id = a.id
    WHERE s.generation = a.generation AND s.next_at = a.seen AND s.next_at <= v_now
      AND s.removed_at IS NULL AND s.paused_at IS NULL AND NOT s.suspended
      AND NOT EXISTS (SELECT FROM unnest(p_of, p_ticks) AS t (of, tick) WHERE t.of = a.id AND t.tick > v_now)
    ORDER BY s.id FOR UPDATE OF s SKIP LOCKED);
  INSERT INTO penstock.schedule_tick (schedule, tick, state)
  SELECT s.id, t.tick, CASE
      WHEN t.back > CASE s.missed WHEN 'All' THEN s.missed_limit ELSE 1 END THEN 'missed'
      WHEN s.missed = 'Skip' AND t.tick < v_now - interval '1 minute' THEN 'missed'
      WHEN s.overlap = 'Queue' THEN 'waiting'
      WHEN s.overlap = 'Skip' AND (t.back > 1 OR penstock.schedule_busy(s.id)) THEN 'overlapped'
      ELSE 'due' END
  FROM (SELECT u.of, u.tick, row_number() OVER (PARTITION BY u.of ORDER BY u.tick DESC) AS back
        FROM unnest(p_of, p_ticks) AS u (of, tick)) AS t JOIN penstock.schedule AS s ON s.id = t.of
  WHERE s.id = ANY (v_ids) AND (s.last_tick IS NULL OR t.tick > s.last_tick)
  ON CONFLICT DO NOTHING;
  UPDATE penstock.schedule AS s
  SET next_at = a.next, last_tick = greatest(s.last_tick, t.last), last_error = NULL, retry_at = NULL,
      unsuccessful_since = coalesce(s.unsuccessful_since, t.first),
      expected_by = CASE WHEN s.unsuccessful_since IS NULL AND t.first IS NOT NULL THEN a.next ELSE s.expected_by END
  FROM unnest(p_ids, p_next) AS a (id, next) LEFT JOIN (
    SELECT u.of, min(u.tick), max(u.tick) FROM unnest(p_of, p_ticks) AS u (of, tick) GROUP BY u.of) AS t (of, first, last) ON t.of = a.id
  WHERE s.id = a.id AND s.id = ANY (v_ids);
  RETURN QUERY SELECT m.id, coalesce(j.jobs, 0) FROM unnest(v_ids) AS m (id)
    LEFT JOIN penstock.start_ticks(v_ids) AS j (schedule, jobs) ON j.schedule = m.id;
END $$;
