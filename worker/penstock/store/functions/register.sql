-- Purpose: enter a worker process in the registry, its lease beginning now; returns its id, which nobody has had before.
-- The queue's row is made if nobody declared it. Index: queue(name). Locks: none that last.
CREATE OR REPLACE FUNCTION penstock.register(
  p_queue text, p_identity text, p_pod text, p_node text, p_version text, p_concurrency integer, p_lease double precision,
  p_info jsonb, OUT worker bigint, OUT queue integer
) LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO penstock.queue (name) SELECT p_queue
    WHERE NOT EXISTS (SELECT FROM penstock.queue AS q WHERE q.name = p_queue) ON CONFLICT DO NOTHING;
  SELECT q.id INTO STRICT queue FROM penstock.queue AS q WHERE q.name = p_queue;
  INSERT INTO penstock.worker (identity, pod, node, version, queues, concurrency, lease_until, info)
  VALUES (p_identity, p_pod, p_node, p_version, ARRAY[queue], p_concurrency,
          clock_timestamp() + make_interval(secs => p_lease), p_info)
  RETURNING id INTO worker;
END $$;
