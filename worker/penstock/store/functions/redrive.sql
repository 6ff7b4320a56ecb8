-- Purpose: make dead letters ready jobs again with the same id, attempts and crashes at zero, their errors kept. One whose
-- unique key is taken stays dead and is reported with the key's holder; p_drop_key redrives it without the key. A key that
-- applied until the start does so again. Returns (id, holder): holder NULL means redriven.
-- Index: dead's key, job_unique. Locks: the dead letters' rows in id order; then as enqueue_many, by key and queue: waits for a
-- concurrent insert of the key.
CREATE OR REPLACE FUNCTION penstock.redrive(p_ids bigint[], p_drop_key boolean DEFAULT false)
RETURNS TABLE (id bigint, holder bigint) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  v_dead penstock.dead%ROWTYPE;
  v_now timestamptz := clock_timestamp();
  v_queues integer[] := '{}';
BEGIN
  PERFORM pg_current_xact_id();  -- before any ord is drawn
  PERFORM FROM penstock.dead AS d WHERE d.id = ANY (p_ids) ORDER BY d.id FOR UPDATE;
  FOR v_dead IN SELECT d.* FROM penstock.dead AS d LEFT JOIN penstock.queue AS q ON q.id = d.queue WHERE d.id = ANY (p_ids)
    ORDER BY substr(d.unique_key, strpos(d.unique_key, ':') + 1), q.name, d.id LOOP
    id := v_dead.id;
    holder := NULL;
    INSERT INTO penstock.job (id, ord, ready_at, created_at, queue, priority, max_attempts, task, headers, args, errors,
                              unique_key, unique_kept, unique_until)
    VALUES (v_dead.id, nextval('penstock.job_ord_seq'), v_now, v_dead.created_at, v_dead.queue, v_dead.priority,
            v_dead.max_attempts, v_dead.task, v_dead.headers, v_dead.args,
            CASE WHEN v_dead.error IS NULL THEN v_dead.errors ELSE
              jsonb_path_query_array(coalesce(v_dead.errors, '[]') || v_dead.error, '$[last-4 to last]') END,
            CASE WHEN p_drop_key IS NOT TRUE THEN v_dead.unique_key END,
            CASE WHEN p_drop_key IS NOT TRUE THEN v_dead.unique_kept END,
            v_dead.unique_until)
    ON CONFLICT DO NOTHING;  -- also for an id that a COPY reused
    IF FOUND THEN
      DELETE FROM penstock.dead AS d WHERE d.id = v_dead.id;
      v_queues := v_queues || v_dead.queue;
    ELSE
      SELECT j.id INTO holder FROM penstock.job AS j WHERE j.id = v_dead.id OR j.unique_key = v_dead.unique_key LIMIT 1;
      holder := coalesce(holder, 0);  -- it ended meanwhile: the caller may try again
    END IF;
    RETURN NEXT;
  END LOOP;
  PERFORM penstock.wake(ARRAY(SELECT DISTINCT unnest(v_queues)));
END $$;
