-- Used by Jobs.ack. See functions/ack.sql.
SELECT id, token, state
FROM penstock.ack(%s::bigint, %s::bigint[], %s::bigint[], %s::text[], %s::double precision[], %s::double precision[],
                  %s::text[], %s::jsonb[], %s::jsonb[], %s::jsonb[])
