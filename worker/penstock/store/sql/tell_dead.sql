-- Used by witness.Witness: dead letters that a rescue made. See functions/tell_dead.sql.
SELECT id, queue, task, reason, attempt, error, message FROM penstock.tell_dead(%s::text, %s::integer)
