-- Used by Jobs.claim. See functions/bury_unreadable.sql.
SELECT penstock.bury_unreadable(%s::integer, %s::integer)
