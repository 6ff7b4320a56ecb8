-- Used by bench_queue.Scratch: throughput and waits from the outcomes of the scratch queue, by the database's clock. Index: none.
-- Locks: none.
SELECT count(*), count(DISTINCT o.job_id), extract(epoch FROM max(o.finished_at) - min(o.claimed_at))::double precision,
       percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY extract(epoch FROM o.claimed_at - o.ready_at)::double precision)
FROM penstock.outcome AS o JOIN penstock.queue AS q ON q.id = o.queue
WHERE q.name = %s::text AND o.state = 'completed' AND o.job_id > %s::bigint AND o.finished_at > now() - interval '1 day'
