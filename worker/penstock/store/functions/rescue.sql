-- Purpose: take claims back from workers whose lease had run out when this began, or that are gone; does nothing unless
-- may_rescue says yes. A lease that ends further ahead than it is long, by half, was renewed before the clock was set back: it
-- counts as over once the leader has led for as long on the new clock, so that whoever lives has renewed.
-- A rescued job is deferred with jitter, crashes + 1; the third crash makes a dead letter. No outcome is written with the
-- attempt's token: a stale acknowledgement must not be taken for accepted. p_strays: look for running rows whose worker
-- has no row even if nobody was lost (a row deleted by hand; nothing of ours leaves such a job behind).
-- Index: job_pick, a scan of the ready range, only while a lost worker is not swept or p_strays. Locks: lost workers' rows
-- (stepping over one whose claim is in flight), then the jobs' rows in id order, skip; 5,000 of them in one call.
CREATE OR REPLACE FUNCTION penstock.rescue(
  p_holder text, p_lease double precision, p_strays boolean DEFAULT false,
  OUT lost integer, OUT rescued integer, OUT poisoned integer
) LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
  v_now timestamptz := clock_timestamp();  -- before it is asked who may: no clock may move on between question and deed
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
  SELECT r.rescued, r.poisoned INTO rescued, poisoned FROM penstock.take_back(v_lost) AS r;
END $$;
