-- Used by unlocked.release_unlocked. See functions/release_unlocked.sql.
SELECT released, locked FROM penstock.release_unlocked(%s::bigint, %s::bigint[], %s::bigint[])
