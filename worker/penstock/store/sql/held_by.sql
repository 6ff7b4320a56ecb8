-- Used by operator_queries.py. See functions/held_by.sql.
SELECT worker, jobs FROM penstock.held_by(%s::integer, %s::integer)
