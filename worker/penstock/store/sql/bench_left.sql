-- Used by bench_queue.Scratch: how many jobs of the scratch queue have not ended. Index: job_pick. Locks: none.
SELECT count(*) FROM penstock.job AS j JOIN penstock.queue AS q ON q.id = j.queue WHERE q.name = %s::text AND j.ord IS NOT NULL
