-- Purpose: accept the success of one attempt inside the transaction that wrote its effects, as its last statement: both are
-- committed or neither. Returns false if it is not accepted, because the claim was lost or the job is to be cancelled; the
-- caller rolls back. A limited queue's room is returned by a separate row, which keeps the caller's transaction from locking
-- the limit; above READ COMMITTED always, because a limit that was turned on meanwhile is not seen (prune_workers drops
-- needless rows).
-- Index: job's key. Locks: the job's row, waited for at most five seconds (55P03), kept until the caller's commit.
CREATE OR REPLACE FUNCTION penstock.complete(p_worker bigint, p_id bigint, p_token bigint, p_duration double precision)
RETURNS boolean
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
SET lock_timeout = '5s'
AS $$
DECLARE
  v_queue integer;
  v_full boolean;
BEGIN
  WITH gone AS (
    DELETE FROM penstock.job AS j WHERE j.id = p_id AND j.token = p_token AND j.worker = p_worker AND NOT j.cancel
    RETURNING j.*
  ), kept AS (
    INSERT INTO penstock.outcome (job_id, token, worker, created_at, ready_at, claimed_at, finished_at, duration, queue,
        attempt, max_attempts, crashes, priority, final, state, task, headers, args)
    SELECT g.id, g.token, g.worker, g.created_at, g.ready_at, g.claimed_at, clock_timestamp(), p_duration, g.queue,
           g.attempt, g.max_attempts, g.crashes, g.priority, true, 'completed', g.task,
           CASE WHEN q.keep_body THEN g.headers END, CASE WHEN q.keep_body THEN g.args END
    FROM gone AS g LEFT JOIN penstock.queue AS q ON q.id = g.queue
  )
  SELECT g.queue INTO v_queue FROM gone AS g;
  IF v_queue IS NULL THEN
    RETURN false;
  END IF;
  SELECT coalesce(l.in_flight >= l.max_in_flight, false) INTO v_full FROM penstock.queue_limit AS l WHERE l.queue = v_queue
  ORDER BY l.queue DESC, l.seq DESC LIMIT 1;
  INSERT INTO penstock.limit_return (queue, amount)
    SELECT v_queue, 1 WHERE v_full IS NOT NULL
      OR current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted');
  IF v_full THEN
    PERFORM penstock.wake(ARRAY[v_queue]);
  END IF;
  RETURN true;
END $$;
