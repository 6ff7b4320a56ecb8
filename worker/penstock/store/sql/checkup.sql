-- Used by checkup.examine. See functions/checkup.sql.
SELECT penstock.checkup()
