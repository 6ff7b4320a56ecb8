-- Used by queue_removal.remove_queue. See functions/remove_queue.sql.
SELECT verdict, number FROM penstock.remove_queue(%s::text, %s::boolean)
