-- Purpose: open_copy for owner logins of releases whose COPY brings its own ids: an id for each of p_jobs, in order; and for
-- each queue its id and default of attempts. Makes the queues that do not exist.
-- Index: queue(name). Locks: as have_queues.
CREATE OR REPLACE FUNCTION penstock.begin_copy(
  p_queues text[], p_jobs integer, OUT ids bigint[], OUT queues integer[], OUT max_attempts smallint[]
) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_current_xact_id();  -- before the queues' idle marks are read
  PERFORM penstock.have_queues(p_queues);
  ids := ARRAY(SELECT nextval('penstock.job_id_seq') FROM generate_series(1, p_jobs));
  SELECT array_agg(q.id ORDER BY a.n), array_agg(q.max_attempts ORDER BY a.n) INTO queues, max_attempts
  FROM unnest(p_queues) WITH ORDINALITY AS a (name, n) LEFT JOIN penstock.queue AS q ON q.name = a.name;
END $$;
