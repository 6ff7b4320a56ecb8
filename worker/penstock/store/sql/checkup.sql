-- Used by diagnostics.examine. See functions/checkup.sql.
SELECT penstock.checkup()
