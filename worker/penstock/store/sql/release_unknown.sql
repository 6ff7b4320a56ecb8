-- Used by unknown_claims.release_unknown. See functions/release_unknown.sql.
SELECT penstock.release_unknown(%s::bigint, %s::integer, %s::bigint[], %s::bigint[])
