-- Used by Leadership.prune_workers. See functions/prune_workers.sql.
SELECT penstock.prune_workers()
