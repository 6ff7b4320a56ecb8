-- Purpose: seconds until the leadership of p_name ends unless it is renewed, at least 0; NULL if it was never taken. A process
-- that could not take it tries again then: the chores of a dead leader wait for it.
-- Index: leader's key. Locks: none.
CREATE OR REPLACE FUNCTION penstock.lead_ends(p_name text) RETURNS double precision LANGUAGE sql AS $$
  SELECT greatest(0, extract(epoch FROM l.lease_until - clock_timestamp()))::double precision
  FROM penstock.leader AS l WHERE l.name = p_name
$$;
