-- Used by operator_queries.py. See functions/shorten_grace.sql.
SELECT penstock.shorten_grace(%s::integer, %s::text, %s::double precision)
