-- Used by Jobs.release_claim. See functions/release_claim.sql.
SELECT penstock.release_claim(%s::bigint, %s::integer, %s::bigint)
