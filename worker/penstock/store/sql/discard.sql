-- Used by Jobs.discard. See functions/discard.sql.
SELECT penstock.discard(%s::bigint[])
