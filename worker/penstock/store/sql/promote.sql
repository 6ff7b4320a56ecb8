-- Used by Leadership.promote. See functions/promote.sql.
SELECT promoted, next_due FROM penstock.promote(%s::integer)
