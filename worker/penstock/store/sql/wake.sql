-- Used by copying, after the rows. See functions/wake.sql.
SELECT penstock.wake(%s::integer[])
