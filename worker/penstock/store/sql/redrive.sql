-- Used by Store.redrive. See functions/redrive.sql.
SELECT id, holder FROM penstock.redrive(%s::bigint[], %s::boolean)
