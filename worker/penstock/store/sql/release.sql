-- Used by Jobs.release. See functions/release.sql.
SELECT penstock.release(%s::bigint, %s::bigint[], %s::bigint[])
