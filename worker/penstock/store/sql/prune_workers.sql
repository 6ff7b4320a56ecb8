-- Used by Store.prune_workers. See functions/prune_workers.sql.
SELECT penstock.prune_workers()
