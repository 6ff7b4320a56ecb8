-- Used by dead_letters.DeadLetters: how many dead letters match a filter, by queue, task and reason. See functions/find_dead.sql.
SELECT f.queue, f.task, f.reason, count(*), min(f.died_at), max(f.died_at)
FROM penstock.find_dead(%(ids)s::bigint[], %(queue)s::text, %(task)s::text, %(reason)s::text, %(contains)s::text,
  %(since)s::timestamptz, %(before)s::timestamptz, NULL, false, NULL) AS f
GROUP BY f.queue, f.task, f.reason ORDER BY count(*) DESC, f.queue, f.task, f.reason
