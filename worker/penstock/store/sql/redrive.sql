-- Used by Jobs.redrive. See functions/redrive.sql.
SELECT id, holder FROM penstock.redrive(%s::bigint[], %s::boolean)
