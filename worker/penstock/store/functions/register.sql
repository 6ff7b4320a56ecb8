-- Purpose: register a worker process; its lease starts now. Returns its id: a number of the sequence and nine random digits. A
-- failover that loses commits, and a restored copy, repeat numbers of the sequence; the digits keep a process from taking the
-- id of one that such a server has lost (ADR 47). The queue's row is made if it does not exist, with or without a free slot:
-- workers are trusted. Refused (55P03) when another transaction that made that queue does not commit within five seconds.
-- Index: queue(name). Locks: as make_queue.
CREATE OR REPLACE FUNCTION penstock.register(
  p_queue text, p_identity text, p_pod text, p_node text, p_version text, p_concurrency integer, p_lease double precision,
  p_info jsonb, OUT worker bigint, OUT queue integer
) LANGUAGE plpgsql SET lock_timeout = '5s' AS $$
DECLARE
  v_unsure boolean;
BEGIN
  PERFORM pg_current_xact_id();  -- before the queue's idle mark is read
  LOOP
    SELECT q.id, q.declared_by IS NULL INTO queue, v_unsure FROM penstock.queue AS q WHERE q.name = p_queue;
    EXIT WHEN FOUND AND (NOT v_unsure OR penstock.keep_queue(queue));
    IF queue IS NULL THEN
      PERFORM penstock.make_queue(p_queue, true);
    END IF;
  END LOOP;
  LOOP
    INSERT INTO penstock.worker (id, identity, pod, node, version, queues, concurrency, lease, lease_until, info)
    OVERRIDING SYSTEM VALUE
    VALUES (nextval('penstock.worker_id_seq') * 1000000000
              + ('x' || left(gen_random_uuid()::text, 8))::bit(32)::bigint % 1000000000,
            p_identity, p_pod, p_node, p_version, ARRAY[queue], p_concurrency, make_interval(secs => p_lease),
            clock_timestamp() + make_interval(secs => p_lease), p_info)
    ON CONFLICT (id) DO NOTHING RETURNING id INTO worker;
    EXIT WHEN worker IS NOT NULL;
  END LOOP;
END $$;
