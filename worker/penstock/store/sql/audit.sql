-- Used by Leadership.audit. See functions/audit.sql.
SELECT penstock.audit(%s::text)
