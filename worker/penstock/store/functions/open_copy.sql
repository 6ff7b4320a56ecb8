-- Purpose: prepare a COPY into job, in the same transaction: for each queue, made if it does not exist, its id and its default
-- of attempts; and the id after which the table will draw those of the jobs, for close_copy.
-- Index: queue(name). Locks: as have_queues.
CREATE OR REPLACE FUNCTION penstock.open_copy(
  p_queues text[], OUT queues integer[], OUT max_attempts smallint[], OUT after bigint
) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_current_xact_id();  -- before the queues' idle marks are read
  PERFORM penstock.have_queues(p_queues);
  SELECT array_agg(q.id ORDER BY a.n), array_agg(q.max_attempts ORDER BY a.n) INTO queues, max_attempts
  FROM unnest(p_queues) WITH ORDINALITY AS a (name, n) LEFT JOIN penstock.queue AS q ON q.name = a.name;
  SELECT CASE WHEN s.is_called THEN s.last_value ELSE 0 END INTO after FROM penstock.job_id_seq AS s;
END $$;
