-- Purpose: sample without names, as older operators call it.
-- Index, locks: as sample.
CREATE OR REPLACE FUNCTION penstock.snapshot(p_cap integer, p_soon double precision)
RETURNS TABLE (queue integer, name text, paused boolean, declared boolean, ready bigint, capped boolean, deferred bigint,
               due_soon bigint, in_flight bigint, dead bigint, oldest double precision, workers jsonb)
LANGUAGE sql STABLE AS $$
  SELECT * FROM penstock.sample(NULL, p_cap, p_soon)
$$;
