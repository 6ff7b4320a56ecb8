-- Used by Registry.deregister. See functions/deregister.sql.
SELECT penstock.deregister(%s::bigint, %s::boolean)
