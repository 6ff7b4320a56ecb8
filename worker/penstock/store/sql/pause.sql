-- Used by Store.pause. See functions/pause.sql.
SELECT penstock.pause(%s::text, %s::boolean)
