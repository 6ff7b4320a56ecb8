-- Used by Leadership.rescue_overdue. See functions/rescue_overdue.sql.
SELECT retried, buried FROM penstock.rescue_overdue(%s::text, %s::double precision)
