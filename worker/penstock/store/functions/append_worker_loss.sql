-- Purpose: a job's errors, the last five, with the loss of its worker appended, in the form of the worker's own errors: pod and
-- node, last renewal of its lease, and how its process ended if an operator has noted that.
-- Index: worker's key. Locks: none.
CREATE OR REPLACE FUNCTION penstock.append_worker_loss(p_errors jsonb, p_worker bigint, p_attempt smallint) RETURNS jsonb
LANGUAGE sql STABLE AS $$
  SELECT jsonb_path_query_array(coalesce(p_errors, '[]') || jsonb_build_object('attempt', p_attempt, 'type', 'WorkerLost', 'message', coalesce(
    (SELECT format('worker %s was lost: pod %s on node %s last renewed its lease at %s; %s', w.id,
                   coalesce(w.pod, 'unknown'), coalesce(w.node, 'unknown'),
                   to_char(w.renewed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
                   coalesce('it ended with ' || (w.info ->> 'ended'), 'how it ended is not known'))
     FROM penstock.worker AS w WHERE w.id = p_worker),
    format('worker %s was lost; its row is gone', p_worker))), '$[last-4 to last]')
$$;
