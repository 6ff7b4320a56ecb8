-- Purpose: send a wake-up for those of the queues that have waiters. Called after the write that made rows ready, in a separate
-- statement: READ COMMITTED then sees a mark that was set meanwhile; above that it always sends.
-- Index: queue's key. Locks: none of its own; a NOTIFY serializes commits, which is why it is sent only to waiters.
CREATE OR REPLACE FUNCTION penstock.wake(p_queues integer[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  v_blind boolean := current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted');
BEGIN
  IF p_queues IS NULL OR current_setting('penstock.wake', true) = 'off' THEN  -- enqueue_quietly
    RETURN;
  END IF;
  PERFORM pg_notify(c.channel, q.id::text) FROM penstock.queue AS q, LATERAL (VALUES
      ('penstock_work', q.workers_waiting_until), ('penstock_depth', q.operator_waiting_until)) AS c (channel, until)
    WHERE q.id = ANY (p_queues) AND (v_blind OR c.until > clock_timestamp());
END $$;
