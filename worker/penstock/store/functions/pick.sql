-- Purpose: the part of claim that chooses rows and locks them. First the floors of the lower priorities, then the rest in
-- order; a floor without enough jobs leaves its room to the others. p_first: for each priority the ord to start at, or NULL if
-- it has no job. An empty priority then costs no statement, the scan starts after the dead entries that a long snapshot keeps
-- in the index, and only a priority with jobs above it has a floor.
-- Index: job_pick. Locks: the rows, skip locked. Planner settings: those of claim, its only caller.
CREATE OR REPLACE FUNCTION penstock.pick(p_queue integer, p_limit integer, p_first bigint[])
RETURNS tid[] LANGUAGE plpgsql AS $$
DECLARE
  v_picked tid[] := '{}';
  v_some tid[];
  v_last bigint[] := p_first;  -- the ord at which each priority continues
  v_ord bigint;
  v_floor integer;
BEGIN
  FOR v_priority IN REVERSE 3..1 LOOP
    CONTINUE WHEN p_first[v_priority + 1] IS NULL OR num_nonnulls(VARIADIC p_first[:v_priority]) = 0;
    v_floor := least(floor(p_limit / 20.0 + random()), p_limit - cardinality(v_picked));
    CONTINUE WHEN v_floor < 1;
    SELECT coalesce(array_agg(s.ctid), '{}'), coalesce(max(s.ord) + 1, v_last[v_priority + 1]) INTO v_some, v_ord FROM (
      SELECT j.ctid, j.ord FROM penstock.job AS j
      WHERE j.queue = p_queue AND j.priority = v_priority::smallint AND j.ord >= v_last[v_priority + 1] AND j.token IS NULL
      ORDER BY j.queue, j.priority, j.ord LIMIT v_floor FOR UPDATE SKIP LOCKED) AS s;
    v_last[v_priority + 1] := v_ord;
    v_picked := v_picked || v_some;
  END LOOP;
  FOR v_priority IN 0..3 LOOP
    EXIT WHEN cardinality(v_picked) >= p_limit;
    CONTINUE WHEN p_first[v_priority + 1] IS NULL;
    v_picked := v_picked || ARRAY(
      SELECT j.ctid FROM penstock.job AS j
      WHERE j.queue = p_queue AND j.priority = v_priority::smallint AND j.ord >= v_last[v_priority + 1] AND j.token IS NULL
      ORDER BY j.queue, j.priority, j.ord LIMIT p_limit - cardinality(v_picked) FOR UPDATE SKIP LOCKED);
  END LOOP;
  RETURN v_picked;
END $$;
