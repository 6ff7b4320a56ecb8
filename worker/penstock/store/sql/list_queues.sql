-- Used by Reader.queues. See functions/list_queues.sql.
SELECT name, declared_by, paused, paused_by, ready, capped, deferred, in_flight, dead, oldest, workers, slots,
       max_in_flight, limit_in_flight, max_attempts, retention, job_deadline
FROM penstock.list_queues(%s::integer)
