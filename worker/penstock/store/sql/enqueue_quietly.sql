-- Used by client.Enqueue. See functions/enqueue_quietly.sql.
SELECT penstock.enqueue_quietly(%s::text[], %s::text[], %s::jsonb[], %s::smallint[], %s::smallint[], %s::double precision[],
                                %s::timestamptz[], %s::jsonb[], %s::text[], %s::boolean[], %s::double precision[],
                                %s::boolean[])
