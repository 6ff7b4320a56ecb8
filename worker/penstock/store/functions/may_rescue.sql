-- Purpose: whether p_holder may judge others: it leads, has led for p_lease seconds without a gap, and the server has been up
-- that long. After an outage a healthy fleet must get time to renew and to acknowledge.
-- Index: leader's key. Locks: none.
CREATE OR REPLACE FUNCTION penstock.may_rescue(p_holder text, p_lease double precision) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
  v_now timestamptz := clock_timestamp();
  v_since timestamptz := v_now - make_interval(secs => p_lease);
BEGIN
  RETURN pg_postmaster_start_time() <= v_since AND EXISTS (
    SELECT FROM penstock.leader AS l
    WHERE l.name = 'maintenance' AND l.holder = p_holder AND l.lease_until > v_now AND l.held_since <= v_since);
END $$;
