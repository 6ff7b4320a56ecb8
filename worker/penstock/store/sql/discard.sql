-- Used by Store.discard. See functions/discard.sql.
SELECT penstock.discard(%s::bigint[])
