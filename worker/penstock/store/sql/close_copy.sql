-- Used by copy_enqueue. See functions/close_copy.sql.
SELECT penstock.close_copy(%s::bigint, %s::integer, %s::integer[])
