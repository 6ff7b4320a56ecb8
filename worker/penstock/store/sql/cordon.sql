-- Used by Workers.cordon. See functions/cordon.sql.
SELECT penstock.cordon(%s::bigint[], %s::boolean)
