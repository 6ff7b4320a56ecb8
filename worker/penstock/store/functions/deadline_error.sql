-- Purpose: the error that the history keeps of an attempt that exceeded its deadline, in the form of the worker's own errors.
-- Index: none. Locks: none.
CREATE OR REPLACE FUNCTION penstock.deadline_error(p_attempt smallint, p_allowed interval) RETURNS jsonb LANGUAGE sql AS $$
  SELECT jsonb_build_object('attempt', p_attempt, 'type', 'DeadlineExceeded', 'message',
    format('deadline exceeded: the attempt was still running %s s after its claim', extract(epoch FROM p_allowed)::real))
$$;
