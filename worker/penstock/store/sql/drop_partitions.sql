-- Used by Leadership.drop_partitions. See functions/drop_partitions.sql.
SELECT penstock.drop_partitions()
