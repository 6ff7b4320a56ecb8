-- Purpose: the lost workers of a queue that are not pruned yet, the youngest row of each pod, unless a row of that pod is
-- alive: node, and seconds since the last renewal of the lease.
-- Index: none, the table is small. Locks: none.
CREATE OR REPLACE FUNCTION penstock.lost_workers(p_queue integer)
RETURNS TABLE (pod text, node text, silent double precision)
LANGUAGE sql STABLE AS $$
  SELECT s.pod, s.node, s.silent FROM (
    SELECT DISTINCT ON (w.pod) w.pod, w.node, w.state,
           extract(epoch FROM clock_timestamp() - w.renewed_at)::double precision AS silent
    FROM penstock.worker AS w WHERE p_queue = ANY (w.queues) AND w.pod IS NOT NULL
    ORDER BY w.pod, w.state = 'lost', w.id DESC) AS s
  WHERE s.state = 'lost'
$$;
