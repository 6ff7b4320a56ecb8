-- Used by dead_letters.DeadLetters: a page or a batch of the dead letters that match a filter. See functions/find_dead.sql.
SELECT f.id, f.queue, f.task, f.reason, f.attempt, f.max_attempts, f.crashes, f.created_at, f.died_at, f.error, f.message
FROM penstock.find_dead(%(ids)s::bigint[], %(queue)s::text, %(task)s::text, %(reason)s::text, %(contains)s::text,
  %(since)s::timestamptz, %(before)s::timestamptz, %(after)s::bigint, %(newest)s::boolean, %(limit)s::integer) AS f
