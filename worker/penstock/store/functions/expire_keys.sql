-- Purpose: the part of enqueue_many that takes expired keys from their holders, all of them before the first insert: in id
-- order, as an acknowledgement locks, not in key order, as the inserts come; otherwise the two could deadlock.
-- Index: queue(name), job_unique. Locks: the holders' rows, in id order, found before and by id alone: a row that is waited for
-- and then does not match stays locked until the caller's commit.
CREATE OR REPLACE FUNCTION penstock.expire_keys(p_queues text[], p_keys text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  v_ids bigint[] := ARRAY(
    SELECT h.id FROM unnest(p_queues, p_keys) AS k (queue, key) JOIN penstock.queue AS q ON q.name = k.queue
    JOIN penstock.job AS h ON h.unique_key = q.id || ':' || k.key
    WHERE h.unique_until <= clock_timestamp());
BEGIN
  PERFORM FROM penstock.job AS j WHERE j.id = ANY (v_ids) ORDER BY j.id FOR UPDATE;
  UPDATE penstock.job AS j SET unique_key = NULL, unique_kept = NULL
  WHERE j.id = ANY (v_ids) AND j.unique_until <= clock_timestamp();
END $$;
