-- Used by copy_enqueue: ready jobs, one per line. Index: job's own three. Locks: none. The table draws ids, ord and times, after its
-- trigger has taken the transaction id.
COPY penstock.job (queue, priority, max_attempts, task, headers, args) FROM STDIN
