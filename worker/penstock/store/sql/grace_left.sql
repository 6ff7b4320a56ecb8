-- Used by Registry.grace_left. See functions/grace_left.sql.
SELECT penstock.grace_left(%s::bigint)
