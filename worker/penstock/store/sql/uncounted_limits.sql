-- Used by Store.uncounted_limits: whether a limit waits to be counted. Index: none, the table is small. Locks: none.
SELECT EXISTS (SELECT FROM penstock.queue_limit AS l WHERE l.in_flight IS NULL)
