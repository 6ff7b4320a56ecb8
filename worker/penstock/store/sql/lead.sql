-- Used by Leadership.acquire. See functions/lead.sql and functions/lead_ends.sql.
SELECT penstock.lead(%s::text, %s::text, %s::double precision), penstock.lead_ends(%s::text)
