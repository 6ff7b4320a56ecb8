-- Used by Leadership.publish_marks. See functions/publish_marks.sql.
SELECT penstock.publish_marks(%s::bigint, %s::bigint)
