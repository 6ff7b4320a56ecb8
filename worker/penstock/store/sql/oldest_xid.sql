-- Used by Queues.oldest_xid: every transaction with a lower id has ended. Index: none. Locks: none.
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint
