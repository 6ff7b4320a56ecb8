-- Used by Queues.take_xid: a transaction id of a transaction of its own. Index: none. Locks: none.
SELECT pg_current_xact_id()::text::bigint
