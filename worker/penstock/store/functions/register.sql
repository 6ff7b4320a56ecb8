-- Purpose: enter a worker process in the registry, its lease beginning now; returns its id, which nobody has had before.
-- The queue's row is made if nobody declared it, whether a slot is free or not: workers are no strangers. It is refused (55P03)
-- when somebody who made that queue does not commit for five seconds. Index: queue(name). Locks: as make_queue.
CREATE OR REPLACE FUNCTION penstock.register(
  p_queue text, p_identity text, p_pod text, p_node text, p_version text, p_concurrency integer, p_lease double precision,
  p_info jsonb, OUT worker bigint, OUT queue integer
) LANGUAGE plpgsql SET lock_timeout = '5s' AS $$
DECLARE
  v_unsure boolean;
BEGIN
  PERFORM pg_current_xact_id();  -- before it is read whether the queue is idle
  LOOP
    SELECT q.id, q.declared_by IS NULL INTO queue, v_unsure FROM penstock.queue AS q WHERE q.name = p_queue;
    EXIT WHEN FOUND AND (NOT v_unsure OR penstock.keep_queue(queue));
    IF queue IS NULL THEN
      PERFORM penstock.make_queue(p_queue, true);
    END IF;
  END LOOP;
  INSERT INTO penstock.worker (identity, pod, node, version, queues, concurrency, lease_until, info)
  VALUES (p_identity, p_pod, p_node, p_version, ARRAY[queue], p_concurrency,
          clock_timestamp() + make_interval(secs => p_lease), p_info)
  RETURNING id INTO worker;
END $$;
