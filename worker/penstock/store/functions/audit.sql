-- Purpose: find and correct what copies of a database and manual changes leave wrong, one part per call:
-- sequences: set ahead of the tables' highest values, with room for concurrent transactions;
-- marks: dropped where jobs lie below them, which makes claims see those jobs again; the next publication finds new ones;
-- limits: counted again under their lock (acknowledgements in flight subtract afterwards);
-- queues: a row named orphaned-ID for jobs whose queue has none, for commands and workers to find.
-- Returns how many were corrected. A row that stays locked for one second waits for the next audit.
-- Index: as lagging_sequences, queues_below_marks, miscounted_limits, orphan_queues. Locks: the rows of queue or queue_limit
-- that are corrected.
CREATE OR REPLACE FUNCTION penstock.audit(p_part text) RETURNS integer LANGUAGE plpgsql
SET enable_seqscan = off
SET lock_timeout = '1s'
AS $$
DECLARE
  v_queues integer[];
  v_queue integer;
  v_corrected integer := 0;
BEGIN
  IF p_part = 'sequences' THEN
    PERFORM setval('penstock.' || s.sequence, s.highest + 1000) FROM penstock.lagging_sequences() AS s;
    GET DIAGNOSTICS v_corrected = ROW_COUNT;
  ELSIF p_part = 'marks' THEN
    v_queues := ARRAY(SELECT penstock.queues_below_marks());
    UPDATE penstock.queue AS q SET marks = NULL, heads = NULL, marks_at = clock_timestamp() WHERE q.id IN (
      SELECT x.id FROM penstock.queue AS x WHERE x.id = ANY (v_queues) ORDER BY x.id FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS v_corrected = ROW_COUNT;
    PERFORM penstock.wake(v_queues);
  ELSIF p_part = 'limits' THEN
    FOR v_queue IN SELECT penstock.miscounted_limits() LOOP
      PERFORM FROM penstock.queue_limit AS l WHERE l.queue = v_queue FOR UPDATE;
      WITH dropped AS (DELETE FROM penstock.limit_return AS r WHERE r.queue = v_queue)
      UPDATE penstock.queue_limit AS l SET in_flight = (
        SELECT count(*) FROM penstock.job AS j WHERE j.queue = v_queue AND j.ord IS NOT NULL AND j.token IS NOT NULL)
      WHERE l.queue = v_queue AND l.in_flight IS NOT NULL;
      v_corrected := v_corrected + 1;
      PERFORM penstock.wake(ARRAY[v_queue]);
    END LOOP;
  ELSIF p_part = 'queues' THEN
    INSERT INTO penstock.queue (id, name) OVERRIDING SYSTEM VALUE
      SELECT o.id, 'orphaned-' || o.id FROM penstock.orphan_queues() AS o (id) ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS v_corrected = ROW_COUNT;
  ELSE
    RAISE EXCEPTION 'audit: the part must be sequences, marks, limits or queues, got %', p_part USING ERRCODE = '22023';
  END IF;
  RETURN v_corrected;
EXCEPTION WHEN lock_not_available THEN
  RETURN 0;
END $$;
