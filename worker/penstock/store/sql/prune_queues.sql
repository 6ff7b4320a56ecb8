-- Used by Leadership.prune_queues. See functions/prune_queues.sql.
SELECT penstock.prune_queues()
