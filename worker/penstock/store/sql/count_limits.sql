-- Used by Leadership.count_limits. See functions/count_limits.sql.
SELECT penstock.count_limits()
