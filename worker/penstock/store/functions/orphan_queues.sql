-- Purpose: ids of queues that have jobs or dead letters and no row: it was deleted manually while an enqueue was open, or with
-- triggers disabled.
-- Index: job_pick, job_due, dead_queue, one probe each for 500 queue ids, from the lowest on and from a random one; queue's
-- key. Locks: none.
CREATE OR REPLACE FUNCTION penstock.orphan_queues() RETURNS SETOF integer LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET jit = off
AS $$
DECLARE
  v_queue integer := -2147483648;
BEGIN
  FOR v_n IN 1..1000 LOOP
    IF v_n = 501 THEN
      v_queue := greatest(v_queue, floor(random() * (SELECT max(q.id) FROM penstock.queue AS q))::integer);
    END IF;
    v_queue := least(
      (SELECT j.queue FROM penstock.job AS j WHERE j.queue > v_queue AND j.ord IS NOT NULL
       ORDER BY j.queue, j.priority, j.ord LIMIT 1),
      (SELECT j.queue FROM penstock.job AS j WHERE j.queue > v_queue AND j.due_at IS NOT NULL ORDER BY j.queue, j.due_at LIMIT 1),
      (SELECT d.queue FROM penstock.dead AS d WHERE d.queue > v_queue ORDER BY d.queue, d.died_at LIMIT 1));
    EXIT WHEN v_queue IS NULL;
    IF NOT EXISTS (SELECT FROM penstock.queue AS q WHERE q.id = v_queue) THEN
      RETURN NEXT v_queue;
    END IF;
  END LOOP;
END $$;
