-- Used by copying: ready jobs, one to a line. Index: job's own three. Locks: none. Ids, ord and times are the table's to draw,
-- after its trigger has taken the transaction id.
COPY penstock.job (queue, priority, max_attempts, task, headers, args) FROM STDIN
