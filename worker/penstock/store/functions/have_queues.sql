-- Purpose: the part of a bulk enqueue that makes its missing queues, in order of name, and keeps idle ones. The caller has
-- taken its transaction id: a later prune that finds a queue idle waits for it.
-- Index: queue(name). Locks: as make_queue and keep_queue, in order of name.
CREATE OR REPLACE FUNCTION penstock.have_queues(p_names text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  v_blind boolean := current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted');
  v_kept boolean;
  v_one record;
BEGIN
  FOR v_one IN
    SELECT n.name, q.id FROM (SELECT DISTINCT u.name FROM unnest(p_names) AS u (name)) AS n
    LEFT JOIN penstock.queue AS q ON q.name = n.name
    WHERE q.id IS NULL OR q.idle_since IS NOT NULL OR v_blind AND q.declared_by IS NULL ORDER BY n.name
  LOOP
    v_kept := v_one.id IS NOT NULL AND penstock.keep_queue(v_one.id);
    WHILE NOT v_kept LOOP
      PERFORM penstock.make_queue(v_one.name);
      v_kept := coalesce((SELECT q.idle_since IS NULL OR penstock.keep_queue(q.id) FROM penstock.queue AS q
                          WHERE q.name = v_one.name), false);
    END LOOP;
  END LOOP;
END $$;
