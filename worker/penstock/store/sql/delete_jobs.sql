-- Used by on_connection.delete_jobs_on: every job, live or ended, for tests; queues and workers stay. Locks: the rows.
-- DELETE, because a TRUNCATE of some twenty empty partitions costs more than a test.
WITH live AS (DELETE FROM penstock.job), ended AS (DELETE FROM penstock.outcome)
DELETE FROM penstock.dead
