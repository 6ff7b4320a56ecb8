-- Used by Jobs.end_refused. See functions/end_refused.sql.
SELECT penstock.end_refused(%s::bigint, %s::bigint, %s::bigint, %s::jsonb)
