-- Purpose: claim up to p_limit ready jobs of one queue for a worker, lower priority numbers first, then in order of entry. A
-- twentieth of a claim is reserved for each of the priorities 1 to 3, rounded at random, which keeps each from starving.
-- Index: job_pick, one scan per priority with equality on it. Locks: a key share on the worker's row, which keeps a rescue from
-- declaring the worker lost between this check and the commit; the queue's limit, if it has one; the picked rows (skip locked,
-- never waits). Two statements for the rows: a single one returns too few when a row moves between its snapshot and its lock.
-- Rows come unsorted; the caller sorts by (priority, ord).
-- Raises PN001 unless the worker is running with a live lease and has not revoked the token.
CREATE OR REPLACE FUNCTION penstock.claim(p_worker bigint, p_queue integer, p_limit integer, p_token bigint)
RETURNS TABLE (id bigint, attempt smallint, max_attempts smallint, crashes smallint, priority smallint, ord bigint,
               task text, args text, headers text, wait double precision)
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
  v_now timestamptz := clock_timestamp();
  v_deadline timestamptz;
  v_limited boolean;
  v_room integer;
  v_first bigint[];  -- for each priority, the first ord that is not claimed, or NULL
  v_picked tid[];
BEGIN
  IF current_setting('synchronous_commit') IN ('off', 'local') THEN
    PERFORM set_config('synchronous_commit', 'on', true);  -- a function's SET is undone before the commit
  END IF;
  PERFORM FROM penstock.worker AS w
    WHERE w.id = p_worker AND w.state = 'running' AND w.lease_until > v_now AND NOT p_token = ANY (w.revoked) FOR KEY SHARE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'claim: worker % is not running with a live lease, or revoked the token', p_worker USING ERRCODE = 'PN001';
  END IF;
  -- After the lock above, which took the transaction id: a limit that this does not see is counted only after our commit.
  SELECT v_now + q.job_deadline, (SELECT true FROM penstock.queue_limit AS l WHERE l.queue = q.id ORDER BY l.queue DESC, l.seq DESC LIMIT 1),
         ARRAY(SELECT (SELECT j.ord FROM penstock.job AS j WHERE j.queue = q.id AND j.priority = p.n::smallint
                         AND j.ord >= coalesce(q.marks[p.n + 1], 0) AND j.token IS NULL
                       ORDER BY j.queue, j.priority, j.ord LIMIT 1) FROM generate_series(0, 3) AS p (n))
  INTO v_deadline, v_limited, v_first FROM penstock.queue AS q WHERE q.id = p_queue AND q.paused_at IS NULL;
  IF NOT FOUND OR num_nonnulls(VARIADIC v_first) = 0 THEN
    RETURN;
  END IF;
  IF v_limited THEN
    v_room := penstock.limit_room(p_queue);
  END IF;
  v_picked := penstock.pick(p_queue, least(coalesce(p_limit, 0), v_room), v_first);
  IF v_limited THEN
    PERFORM penstock.limit_take(p_queue, cardinality(v_picked));
  END IF;
  RETURN QUERY UPDATE penstock.job AS j
    SET token = p_token, worker = p_worker, attempt = j.attempt + 1, claimed_at = v_now, deadline = v_deadline,
        unique_key = CASE WHEN j.unique_kept IS NULL THEN j.unique_key END  -- until start: released now, kept for a release
    WHERE j.ctid = ANY (v_picked)
    RETURNING j.id, j.attempt, j.max_attempts, j.crashes, j.priority, j.ord, j.task, j.args::text::varchar(393217)::text,
              j.headers::text::varchar(393217)::text,  -- longer than enqueue allows: cut; the worker fails the job
              date_part('epoch', v_now - j.ready_at);  -- extract would go through numeric
END $$;
