-- Used by Leadership.make_partitions. See functions/make_partitions.sql.
SELECT penstock.make_partitions(%s::integer)
