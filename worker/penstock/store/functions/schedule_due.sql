-- Purpose: schedules whose next tick has come, the longest due first, with what their ticks are computed from, and the
-- database's clock. What another transaction has locked could not be fired, and is left out: any number of locked schedules
-- keeps no other from its turn. The last row has no id: its next_at is the earliest one of the schedules that are left out,
-- due or not, NULL if there is none.
-- Index: schedule_next. Locks: the rows that are returned, skip locked.
CREATE OR REPLACE FUNCTION penstock.schedule_due(p_limit integer)
RETURNS TABLE (id bigint, queue text, name text, task text, spec text, zone text, starts_at timestamptz, ends_at timestamptz,
               jitter integer, missed text, missed_limit integer, generation bigint, next_at timestamptz, now timestamptz)
LANGUAGE sql SET enable_seqscan = off AS $$
  WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now), due AS (
    SELECT s.id, s.queue, s.name, s.task, s.spec, s.zone, s.starts_at, s.ends_at, s.jitter, s.missed, s.missed_limit,
           s.generation, s.next_at, clock.now
    FROM penstock.schedule AS s, clock
    WHERE s.next_at <= clock.now AND s.removed_at IS NULL AND s.paused_at IS NULL AND NOT s.suspended
      AND (s.retry_at IS NULL OR s.retry_at <= clock.now)
    ORDER BY s.next_at LIMIT p_limit FOR UPDATE OF s SKIP LOCKED)
  SELECT * FROM due
  UNION ALL
  SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, (
      SELECT s.next_at FROM penstock.schedule AS s
      WHERE s.next_at IS NOT NULL AND s.removed_at IS NULL AND s.paused_at IS NULL AND NOT s.suspended
        AND (s.retry_at IS NULL OR s.retry_at <= clock.now OR s.next_at > clock.now) AND s.id <> ALL (ARRAY(SELECT d.id FROM due AS d))
      ORDER BY s.next_at LIMIT 1), clock.now
  FROM clock
$$;
