-- Purpose: make the row of an undeclared queue. It needs a free slot, which keeps a login that may enqueue from filling the
-- database with names: PN003 if there is none. p_slotless: it may go without, as a worker's queue. Waits for a concurrent
-- transaction that makes the same queue; then that one exists, or this makes it.
-- Index: queue(name), queue_slot_free. Locks: the queue's row, a slot's (skip locked).
CREATE OR REPLACE FUNCTION penstock.make_queue(p_name text, p_slotless boolean DEFAULT false) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  v_id integer;
  v_free boolean := EXISTS (SELECT FROM penstock.queue_slot AS s WHERE s.queue IS NULL);
BEGIN
  IF v_free OR p_slotless THEN  -- else each call would write it and roll back
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
    USING ERRCODE = 'PN003', HINT = 'Check the name, or apply a JobQueue for it; penstock doctor lists the undeclared queues.';
END $$;
