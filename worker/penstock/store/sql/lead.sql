-- Used by Store.lead. See functions/lead.sql.
SELECT penstock.lead(%s::text, %s::text, %s::double precision)
