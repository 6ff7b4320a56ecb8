-- Purpose: queues whose limit does not count what runs, because rows were removed manually. Claims, acknowledgements and
-- transactional completions change the count and the jobs in one commit: in one snapshot they always agree.
-- Index: queue_limit's key; job_pick, the ready ranges of limited queues. Locks: none.
CREATE OR REPLACE FUNCTION penstock.miscounted_limits() RETURNS SETOF integer LANGUAGE sql
SET enable_seqscan = off
SET jit = off
AS $$
  SELECT l.queue FROM penstock.queue_limit AS l
  WHERE l.in_flight IS NOT NULL
    AND l.in_flight - (SELECT coalesce(sum(r.amount), 0) FROM penstock.limit_return AS r WHERE r.queue = l.queue) <> (
      SELECT count(*) FROM penstock.job AS j WHERE j.queue = l.queue AND j.ord IS NOT NULL AND j.token IS NOT NULL)
  ORDER BY l.queue
$$;
