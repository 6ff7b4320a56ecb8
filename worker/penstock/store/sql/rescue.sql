-- Used by Leadership.rescue. See functions/rescue.sql.
SELECT lost, rescued, poisoned FROM penstock.rescue(%s::text, %s::double precision, %s::boolean)
