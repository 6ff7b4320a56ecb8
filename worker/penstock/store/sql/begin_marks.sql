-- Used by Leadership.begin_marks. See functions/begin_marks.sql.
SELECT last_ord, horizon FROM penstock.begin_marks()
