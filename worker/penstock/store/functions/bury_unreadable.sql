-- Purpose: a worker calls this after a claim failed because a job's text could not be produced. Of the jobs that the claim may
-- have picked, those without a readable text become dead letters of reason unreadable; the others stay unchanged. Returns the
-- ids of the dead letters. Such jobs come from COPY or from manual changes; enqueue accepts none. The name stays, because
-- workers of the adjacent release call it.
-- Index: job_pick, at most p_limit rows of each priority. Locks: those rows, skip locked.
CREATE OR REPLACE FUNCTION penstock.bury_unreadable(p_queue integer, p_limit integer) RETURNS bigint[]
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET jit = off
AS $$
DECLARE
  v_id bigint;
  v_ids bigint[] := '{}';
  v_bytes bigint;
BEGIN
  FOR v_id IN
    SELECT s.id FROM generate_series(0, 3) AS p (n), LATERAL (
      SELECT j.id FROM penstock.job AS j WHERE j.queue = p_queue AND j.priority = p.n::smallint AND j.ord IS NOT NULL
        AND j.token IS NULL
      ORDER BY j.queue, j.priority, j.ord LIMIT least(greatest(p_limit, 1), 10000) FOR UPDATE SKIP LOCKED) AS s
  LOOP
    BEGIN
      SELECT octet_length(textsend(j.task)) + octet_length(textsend(j.args::text))
             + coalesce(octet_length(textsend(j.headers::text)), 0) INTO v_bytes FROM penstock.job AS j WHERE j.id = v_id;
    EXCEPTION WHEN data_exception OR insufficient_resources OR program_limit_exceeded OR internal_error THEN
      WITH gone AS (DELETE FROM penstock.job AS j WHERE j.id = v_id RETURNING j.*)
      INSERT INTO penstock.dead (id, queue, priority, attempt, max_attempts, crashes, created_at, died_at, reason, task,
                                 unique_key, unique_kept, unique_until, headers, args, error, errors)
      SELECT g.id, g.queue, g.priority, g.attempt, g.max_attempts, g.crashes, g.created_at, clock_timestamp(), 'unreadable',
             CASE WHEN SQLSTATE = '22021' THEN 'unreadable' ELSE g.task END, coalesce(g.unique_key, g.unique_kept),
             g.unique_kept, g.unique_until, g.headers, g.args,
             jsonb_build_object('type', 'UnreadableJob', 'message', 'its text cannot be produced: ' || SQLERRM), g.errors
      FROM gone AS g ON CONFLICT (id) DO NOTHING;
      v_ids := v_ids || v_id;
    END;
  END LOOP;
  RETURN v_ids;
END $$;
