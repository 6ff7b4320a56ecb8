-- Used by copy_enqueue. See functions/open_copy.sql.
SELECT queues, max_attempts, after FROM penstock.open_copy(%s::text[])
