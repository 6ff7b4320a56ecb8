-- Purpose: make the schedules of a queue from one source, code or jobqueue, those of p_schedules: new and changed ones are
-- written, those that are not in it are marked removed and keep their history. A JobQueue's wins over code's of the same name.
-- A change of when it recurs, a return and the end of a suspension set next_at to the given one, but not while a tick is due: its
-- caller fires it first. Another jitter moves next_at. Each object has the columns' names; next_at is NULL if no tick comes.
-- Returns a verdict by name: declared, unchanged, due, overridden or removed.
-- New rows come first, because an insert waits for another of its name; then all rows that may change are locked, in order of
-- name, in one statement: two callers never wait for each other.
-- Index: schedule(queue, name). Locks: the rows, in order of name, waited for at most five seconds (55P03).
CREATE OR REPLACE FUNCTION penstock.declare_schedules(p_queue text, p_source text, p_schedules jsonb)
RETURNS TABLE (schedule text, verdict text) LANGUAGE plpgsql SET lock_timeout = '5s' AS $$
DECLARE
  n penstock.schedule; o penstock.schedule; v_one jsonb; v_recurs boolean; v_same boolean; v_number numeric; v_new text[]; v_ids bigint[];
  v_names text[] := ARRAY(SELECT j.one ->> 'name' FROM jsonb_array_elements(p_schedules) AS j (one));
BEGIN
  WITH made AS (
    INSERT INTO penstock.schedule AS s (queue, name, source, spec, zone, starts_at, ends_at, jitter, lead, task, args, priority,
      max_attempts, missed, missed_limit, overlap, suspended, next_at)
    SELECT p_queue, r.name, p_source, r.spec, r.zone, r.starts_at, r.ends_at, r.jitter, r.lead, r.task, r.args, r.priority,
      r.max_attempts, r.missed, r.missed_limit, r.overlap, r.suspended, r.next_at
    FROM jsonb_array_elements(p_schedules) AS j (one), jsonb_populate_record(NULL::penstock.schedule, j.one) AS r
    ORDER BY r.name COLLATE "C"
    ON CONFLICT (queue, name) DO NOTHING RETURNING s.name)
  SELECT coalesce(array_agg(m.name), '{}') INTO v_new FROM made AS m;
  v_ids := ARRAY(SELECT s.id FROM penstock.schedule AS s
    WHERE s.queue = p_queue AND (s.name = ANY (v_names) OR s.source = p_source AND s.removed_at IS NULL));
  PERFORM FROM penstock.schedule AS s WHERE s.id = ANY (v_ids) ORDER BY s.name COLLATE "C" FOR UPDATE;
  FOR v_one IN SELECT j.one FROM jsonb_array_elements(p_schedules) AS j (one) LOOP
    n := jsonb_populate_record(NULL::penstock.schedule, v_one);
    schedule := n.name; verdict := 'declared';
    IF NOT n.name = ANY (v_new) THEN
      SELECT * INTO o FROM penstock.schedule AS s WHERE s.queue = p_queue AND s.name = n.name;
      v_recurs := (o.spec, o.zone, o.starts_at, o.ends_at) IS NOT DISTINCT FROM (n.spec, n.zone, n.starts_at, n.ends_at)
        AND o.removed_at IS NULL AND (n.suspended OR NOT o.suspended);
      v_number := coalesce((v_one ->> 'jitter_number')::numeric, 0);
      v_same := v_recurs AND o.source = p_source
        AND (o.jitter, o.lead, o.task, o.args, o.priority, o.max_attempts, o.missed, o.missed_limit, o.overlap, o.suspended) IS NOT DISTINCT FROM
            (n.jitter, n.lead, n.task, n.args, n.priority, n.max_attempts, n.missed, n.missed_limit, n.overlap, n.suspended);
      IF p_source = 'code' AND o.source = 'jobqueue' AND o.removed_at IS NULL THEN verdict := 'overridden';
      ELSIF v_same THEN verdict := 'unchanged';
      ELSIF NOT (v_recurs OR o.suspended) AND o.next_at <= clock_timestamp() AND num_nulls(o.removed_at, o.paused_at, o.retry_at) = 3 THEN verdict := 'due';
      ELSE
        UPDATE penstock.schedule AS s
        SET source = p_source, generation = s.generation + 1, spec = n.spec, zone = n.zone, starts_at = n.starts_at, ends_at = n.ends_at,
            jitter = n.jitter, lead = n.lead, task = n.task, args = n.args, priority = n.priority, max_attempts = n.max_attempts,
            missed = n.missed, missed_limit = n.missed_limit, overlap = n.overlap, suspended = n.suspended, removed_at = NULL,
            declared_at = clock_timestamp(), next_at = CASE WHEN v_recurs
              THEN s.next_at + make_interval(secs => (v_number % (n.jitter + 1) - v_number % (s.jitter + 1))::float8) ELSE n.next_at END,
            unsuccessful_since = CASE WHEN v_recurs THEN s.unsuccessful_since END, last_error = NULL, retry_at = NULL,
            expected_by = CASE WHEN v_recurs THEN s.expected_by END
        WHERE s.id = o.id;
      END IF;
    END IF;
    RETURN NEXT;
  END LOOP;
  RETURN QUERY UPDATE penstock.schedule AS s
    SET removed_at = clock_timestamp(), generation = s.generation + 1, last_error = NULL, retry_at = NULL
    WHERE s.id = ANY (v_ids) AND NOT s.name = ANY (v_names) AND s.source = p_source AND s.removed_at IS NULL
    RETURNING s.name, 'removed';
END $$;
