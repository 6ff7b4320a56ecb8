-- Used by Queues.snapshot. See functions/sample.sql.
SELECT queue, name, paused, declared, ready, capped, deferred, due_soon, in_flight, dead, oldest, workers
FROM penstock.sample(%s::text[], %s::integer, %s::double precision)
