-- Used by Store.audit. See functions/audit.sql.
SELECT penstock.audit(%s::text)
