-- Used by operator_queries.py. See functions/lost_workers.sql.
SELECT pod, node, silent FROM penstock.lost_workers(%s::integer)
