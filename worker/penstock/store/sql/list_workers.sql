-- Used by Reader.workers. See functions/list_workers.sql.
SELECT id, identity, pod, node, version, queues, state, concurrency, in_flight, done, up, renewed, lease_left, oldest_job,
       oldest_task, oldest_claimed, http, report
FROM penstock.list_workers(%s::text, 10000)
