-- Purpose: reclaim jobs from workers whose lease had expired when this call started, or that have no row; does nothing unless
-- may_rescue allows it. A lease that ends further ahead than one and a half times its length was renewed before the clock was
-- set back: it counts as expired once the leader has led for its length on the new clock, after every live worker has renewed.
-- A rescued job is deferred with jitter, crashes + 1; the third crash makes a dead letter. No outcome is written with the
-- attempt's token: a stale acknowledgement must not read as accepted. p_strays: also find running rows whose worker has no
-- row if no worker was lost (its row was deleted manually).
-- Index: job_pick, a scan of the ready range, only while a lost worker is not swept or p_strays. Locks: lost workers' rows
-- (skipping one whose claim is in flight), then the jobs' rows in id order, skip locked; 5,000 of them in one call.
CREATE OR REPLACE FUNCTION penstock.rescue(
  p_holder text, p_lease double precision, p_strays boolean DEFAULT false,
  OUT lost integer, OUT rescued integer, OUT poisoned integer
) LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
  v_now timestamptz := clock_timestamp();  -- before may_rescue: no time may pass between its check and the update
  v_lost bigint[];
BEGIN
  lost := 0; rescued := 0; poisoned := 0;
  IF NOT penstock.may_rescue(p_holder, p_lease) THEN
    RETURN;
  END IF;
  UPDATE penstock.worker AS w SET state = 'lost', lease_until = least(w.lease_until, v_now) WHERE w.id = ANY (ARRAY(
    SELECT x.id FROM penstock.worker AS x
    WHERE x.state <> 'lost' AND (x.lease_until < v_now OR x.lease_until > v_now + x.lease * 1.5 AND EXISTS (
      SELECT FROM penstock.leader AS l WHERE l.name = 'maintenance' AND l.held_since <= v_now - x.lease))
    FOR UPDATE SKIP LOCKED));
  GET DIAGNOSTICS lost = ROW_COUNT;
  v_lost := ARRAY(SELECT w.id FROM penstock.worker AS w WHERE w.state = 'lost' AND NOT w.swept ORDER BY w.id
                  FOR UPDATE SKIP LOCKED);
  IF cardinality(v_lost) = 0 AND NOT p_strays THEN
    RETURN;
  END IF;
  SELECT r.rescued, r.poisoned INTO rescued, poisoned FROM penstock.reclaim(v_lost) AS r;
END $$;
