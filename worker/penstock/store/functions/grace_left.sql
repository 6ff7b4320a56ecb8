-- Purpose: seconds until a draining worker is killed, if an operator has set that by shorten_grace; else NULL.
-- Index: worker's key. Locks: none.
CREATE OR REPLACE FUNCTION penstock.grace_left(p_worker bigint) RETURNS double precision LANGUAGE sql STABLE AS $$
  SELECT (w.info ->> 'killed_at')::double precision - extract(epoch FROM clock_timestamp())::double precision
  FROM penstock.worker AS w WHERE w.id = p_worker AND jsonb_typeof(w.info -> 'killed_at') = 'number'
$$;
