-- Used by unlocked.ack_unlocked. See functions/ack_unlocked.sql.
SELECT id, token, state
FROM penstock.ack_unlocked(%s::bigint, %s::bigint[], %s::bigint[], %s::text[], %s::double precision[],
                           %s::double precision[], %s::text[], %s::jsonb[], %s::jsonb[], %s::jsonb[])
