-- Purpose: make the row of a queue that nobody declared. It needs a free slot, so that a login that may enqueue cannot fill
-- the database with names: PN003 if there is none. p_slotless: it may do without, as a worker's queue. Somebody who makes
-- the same queue is waited for; then that one is there, or this makes it.
-- Index: queue(name), queue_slot_free. Locks: the queue's row, a slot's (stepping over those that others hold).
CREATE OR REPLACE FUNCTION penstock.make_queue(p_name text, p_slotless boolean DEFAULT false) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  v_id integer;
  v_free boolean := EXISTS (SELECT FROM penstock.queue_slot AS s WHERE s.queue IS NULL);
BEGIN
  IF v_free OR p_slotless THEN  -- else it would be written and rolled back, each time again
    INSERT INTO penstock.queue (name) VALUES (p_name) ON CONFLICT DO NOTHING RETURNING id INTO v_id;
    IF v_id IS NULL THEN
      RETURN;
    END IF;
    UPDATE penstock.queue_slot AS s SET queue = v_id WHERE s.slot = (
      SELECT f.slot FROM penstock.queue_slot AS f WHERE f.queue IS NULL ORDER BY f.slot LIMIT 1 FOR UPDATE SKIP LOCKED);
    IF FOUND THEN
      RETURN;
    ELSIF p_slotless THEN
      INSERT INTO penstock.queue_slot (slot, queue) VALUES (-v_id, v_id);
      RETURN;
    END IF;
  END IF;
  RAISE EXCEPTION 'enqueue: no JobQueue declares queue %, and as many undeclared queues exist as the database allows (%)',
    quote_literal(left(p_name, 80)), (SELECT count(*) FROM penstock.queue_slot AS s WHERE s.slot > 0)
    USING ERRCODE = 'PN003', HINT = 'Check the name, or apply a JobQueue for it; penstock doctor tells the undeclared queues.';
END $$;
