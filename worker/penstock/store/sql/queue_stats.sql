-- Used by Reader.stats. See functions/queue_stats.sql.
SELECT name, completed, retried, dead, cancelled, wait_p50, wait_p95, run_p50, run_p95
FROM penstock.queue_stats(%s::text, %s::double precision)
