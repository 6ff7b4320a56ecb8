-- Purpose: the first half of publishing marks, in a transaction of its own: returns the last ord drawn and a transaction id
-- taken after it. A transaction that drew an ord had its id before; once no id up to this one is open, every row with such an
-- ord is visible or never will be.
-- Index: none. Locks: none.
CREATE OR REPLACE FUNCTION penstock.begin_marks(OUT last_ord bigint, OUT horizon bigint) LANGUAGE plpgsql AS $$
BEGIN
  SELECT s.last_value INTO last_ord FROM penstock.job_ord_seq AS s;
  horizon := pg_current_xact_id()::text::bigint;
END $$;
