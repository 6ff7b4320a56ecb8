-- Used by Store.snapshot. See functions/snapshot.sql.
SELECT queue, name, paused, declared, ready, capped, deferred, due_soon, in_flight, dead, oldest, workers
FROM penstock.snapshot(%s::integer, %s::double precision)
