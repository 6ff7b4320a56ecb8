-- Used by operator_queries.py. See functions/note_end.sql.
SELECT penstock.note_end(%s::integer, %s::text, %s::timestamptz, %s::text)
