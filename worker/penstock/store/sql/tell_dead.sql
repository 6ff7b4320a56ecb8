-- Used by worker_store.WorkerStore: dead letters that a rescue made. See functions/tell_dead.sql.
SELECT id, queue, task, reason, attempt, error, message FROM penstock.tell_dead(%s::text, %s::integer)
