-- Purpose: take claims back from workers whose lease ran out, or that are gone. Does nothing unless p_holder leads and has
-- led for p_lease seconds, and the server has been up that long: after an outage a healthy fleet must get time to renew.
-- A rescued job is deferred with jitter, crashes + 1; the third crash makes a dead letter. No outcome is written with the
-- attempt's token: a stale acknowledgement must not be taken for accepted.
-- Index: job_pick, a scan of the ready range, only when a worker was lost. Locks: lost workers' rows (stepping over one
-- whose claim is in flight), then the jobs' rows in id order.
CREATE OR REPLACE FUNCTION penstock.rescue(
  p_holder text, p_lease double precision, OUT lost integer, OUT rescued integer, OUT poisoned integer
) LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
  v_now timestamptz := clock_timestamp();
  v_lease interval := make_interval(secs => p_lease);
  v_lost bigint[];
BEGIN
  lost := 0; rescued := 0; poisoned := 0;
  IF pg_postmaster_start_time() > v_now - v_lease OR NOT EXISTS (
      SELECT FROM penstock.leader AS l WHERE l.name = 'maintenance' AND l.holder = p_holder
        AND l.lease_until > v_now AND l.held_since <= v_now - v_lease) THEN
    RETURN;
  END IF;
  UPDATE penstock.worker AS w SET state = 'lost' WHERE w.id = ANY (ARRAY(
    SELECT x.id FROM penstock.worker AS x WHERE x.lease_until < v_now AND x.state <> 'lost' FOR UPDATE SKIP LOCKED));
  GET DIAGNOSTICS lost = ROW_COUNT;
  v_lost := ARRAY(SELECT w.id FROM penstock.worker AS w WHERE w.state = 'lost' AND NOT w.swept ORDER BY w.id
                  FOR UPDATE SKIP LOCKED);
  IF cardinality(v_lost) = 0 THEN
    RETURN;
  END IF;
  SELECT r.rescued, r.poisoned INTO rescued, poisoned FROM penstock.take_back(v_lost) AS r;
  UPDATE penstock.worker AS w SET swept = true WHERE w.id = ANY (v_lost);
END $$;
