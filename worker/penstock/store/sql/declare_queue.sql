-- Used by Queues.declare. See functions/declare_queue.sql.
SELECT penstock.declare_queue(%s::text, %s::text, %s::bigint, %s::boolean, %s::smallint, %s::jsonb, %s::double precision,
                              %s::double precision, %s::jsonb)
