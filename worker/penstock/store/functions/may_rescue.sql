-- Purpose: whether p_holder may declare workers lost: it leads, the server has been up for p_lease seconds, and for as long
-- either it has led without a gap, or some worker has renewed without a gap of half its lease. After an outage a healthy fleet
-- must get time to renew and to acknowledge; any process that reached the database throughout shows that it was up, not only
-- the leader. Times written before the clock was set back seem to lie ahead and show nothing. A worker with a longer lease than
-- p_lease shows nothing: its gaps may hide an outage that expired the others'.
-- Index: leader's key; none for worker, which is small. Locks: none.
CREATE OR REPLACE FUNCTION penstock.may_rescue(p_holder text, p_lease double precision) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
  v_now timestamptz := clock_timestamp();
  v_lease interval := make_interval(secs => p_lease);
BEGIN
  RETURN pg_postmaster_start_time() NOT BETWEEN v_now - v_lease AND v_now AND EXISTS (
    SELECT FROM penstock.leader AS l
    WHERE l.name = 'maintenance' AND l.holder = p_holder AND l.lease_until > v_now
      AND l.lease_until <= v_now + coalesce(l.lease, l.lease_until - v_now)
      AND (l.held_since <= v_now - v_lease OR EXISTS (
        SELECT FROM penstock.worker AS w
        WHERE w.state <> 'lost' AND w.unbroken_since <= v_now - v_lease AND w.lease_until - w.renewed_at <= v_lease
          AND v_now - w.renewed_at < (w.lease_until - w.renewed_at) / 2)));
END $$;
