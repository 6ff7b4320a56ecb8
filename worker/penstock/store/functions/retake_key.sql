-- Purpose: a released job retakes the unique key that its claim released, unless another job has it now; then it runs without
-- one. A producer with the key in an open transaction counts as having it: a release must not wait for it.
-- Index: job_unique. Locks: the job's row; waits at most 100 ms for a concurrent insert of the same key.
CREATE OR REPLACE FUNCTION penstock.retake_key(p_id bigint) RETURNS boolean LANGUAGE plpgsql SET lock_timeout = '100ms' AS $$
BEGIN
  UPDATE penstock.job AS j SET unique_key = j.unique_kept WHERE j.id = p_id AND j.unique_kept IS NOT NULL;
  RETURN FOUND;
EXCEPTION WHEN unique_violation OR lock_not_available THEN
  UPDATE penstock.job AS j SET unique_kept = NULL WHERE j.id = p_id;
  RETURN false;
END $$;
