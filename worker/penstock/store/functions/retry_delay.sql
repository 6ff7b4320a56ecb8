-- Purpose: seconds until the next attempt, by a queue's retry settings: what a worker computes, for an attempt without a
-- worker's outcome. Default: exponential with full jitter from 5 s, at most an hour.
-- Index: none. Locks: none.
CREATE OR REPLACE FUNCTION penstock.retry_delay(p_retry jsonb, p_attempt smallint) RETURNS double precision
LANGUAGE plpgsql AS $$
DECLARE
  v_strategy text := coalesce(p_retry ->> 'strategy', 'exponential');
  v_base double precision := coalesce((p_retry ->> 'base_seconds')::double precision,
                                      CASE v_strategy WHEN 'exponential' THEN 5 ELSE 60 END);
  v_most double precision := greatest(coalesce((p_retry ->> 'max_seconds')::double precision, 3600), v_base);
BEGIN
  RETURN CASE v_strategy
    WHEN 'constant' THEN v_base
    WHEN 'linear' THEN least(v_base * p_attempt, v_most)
    ELSE random() * least(v_base * 2 ^ least(p_attempt - 1, 60), v_most) END;
END $$;
