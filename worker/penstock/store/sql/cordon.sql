-- Used by Store.cordon. See functions/cordon.sql.
SELECT penstock.cordon(%s::bigint[], %s::boolean)
