-- Purpose: seconds until the leadership of p_name ends unless it is kept, at least 0; NULL if nobody ever had it. Who could
-- not have it tries again then: the jobs of a leader that died wait for it. Index: leader's key. Locks: none.
CREATE OR REPLACE FUNCTION penstock.lead_ends(p_name text) RETURNS double precision LANGUAGE sql AS $$
  SELECT greatest(0, extract(epoch FROM l.lease_until - clock_timestamp()))::double precision
  FROM penstock.leader AS l WHERE l.name = p_name
$$;
