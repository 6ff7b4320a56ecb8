-- Used by worker_store.WorkerStore: the worker's own queue. See functions/depth.sql.
SELECT ready, deferred, in_flight, dead, oldest FROM penstock.depth(%s::integer, 10000)
