-- Purpose: the sequences that lag the tables, with the last number drawn and the highest one stored: in a copy made by
-- logical replication, which leaves sequences out, and after a manual setval. The highest is read first and the last number
-- after it: a concurrent draw never reads as a difference.
-- Index: the keys of job, dead, queue, schedule and limit_return, outcome_job, and job_pick, each from the last number on, where nothing
-- is. Of queues that are neither declared nor served, the 1,000 oldest. Locks: none.
CREATE OR REPLACE FUNCTION penstock.lagging_sequences(OUT sequence text, OUT last bigint, OUT highest bigint) RETURNS SETOF record
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_bitmapscan = off
SET jit = off
AS $$
DECLARE
  -- A mark may equal the next number to be drawn; an id may not.
  v_sql CONSTANT text := 'SELECT s.last_value - CASE WHEN s.is_called OR %L THEN 0 ELSE 1 END FROM penstock.%I AS s';
  v_bound CONSTANT bigint := 4611686018427387904;  -- a higher number, written manually, must not exhaust a sequence
BEGIN
  FOREACH sequence IN ARRAY '{job_id_seq,job_ord_seq,queue_id_seq,limit_return_id_seq,schedule_id_seq}'::text[] LOOP
    EXECUTE format(v_sql, sequence = 'job_ord_seq', sequence) INTO last;
    CASE sequence
      WHEN 'job_id_seq' THEN
        SELECT greatest((SELECT max(j.id) FROM penstock.job AS j WHERE j.id > last AND j.id < v_bound),
                        (SELECT max(d.id) FROM penstock.dead AS d WHERE d.id > last AND d.id < v_bound),
                        (SELECT max(o.job_id) FROM penstock.outcome AS o WHERE o.job_id > last AND o.job_id < v_bound))
        INTO highest;
      WHEN 'job_ord_seq' THEN
        SELECT greatest((SELECT max(m.ord) FROM penstock.tended_queue AS t, LATERAL (SELECT * FROM penstock.queue AS x WHERE x.id = t.id LIMIT 1) AS q,
                           unnest(q.marks || q.heads) AS m (ord)
                         WHERE m.ord > last AND m.ord < v_bound),
                        (SELECT max(s.ord) FROM penstock.tended_queue AS q, generate_series(0, 3) AS p (n), LATERAL (
                           SELECT j.ord FROM penstock.job AS j WHERE j.queue = q.id AND j.priority = p.n::smallint
                             AND j.ord > last AND j.ord < v_bound
                           ORDER BY j.queue DESC, j.priority DESC, j.ord DESC LIMIT 1) AS s))
        INTO highest;
      WHEN 'queue_id_seq' THEN
        SELECT max(q.id) INTO highest FROM penstock.queue AS q WHERE q.id > last;
      WHEN 'schedule_id_seq' THEN
        SELECT max(s.id) INTO highest FROM penstock.schedule AS s WHERE s.id > last AND s.id < v_bound;
      ELSE
        SELECT max(r.id) INTO highest FROM penstock.limit_return AS r WHERE r.id > last AND r.id < v_bound;
    END CASE;
    CONTINUE WHEN highest IS NULL;
    EXECUTE format(v_sql, sequence = 'job_ord_seq', sequence) INTO last;
    IF last < highest THEN
      RETURN NEXT;
    END IF;
  END LOOP;
END $$;
