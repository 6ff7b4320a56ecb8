-- Purpose: a released job takes the unique key again that its claim gave up, unless another job has it by now; then it runs
-- without one. Index: job_unique. Locks: the job's row; waits for a concurrent insert of the same key.
CREATE OR REPLACE FUNCTION penstock.retake_key(p_id bigint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  UPDATE penstock.job AS j SET unique_key = j.unique_kept WHERE j.id = p_id AND j.unique_kept IS NOT NULL;
  RETURN FOUND;
EXCEPTION WHEN unique_violation THEN
  UPDATE penstock.job AS j SET unique_kept = NULL WHERE j.id = p_id;
  RETURN false;
END $$;
