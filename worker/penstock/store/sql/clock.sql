-- Used by Reader.clock: the time by which everything is decided. Index: none. Locks: none.
SELECT clock_timestamp()
