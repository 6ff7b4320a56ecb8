-- Purpose: the part of ack that bounds the wait for another release: a snooze of reason incompatible_arguments becomes a
-- failure of reason invalid_arguments once workers have refused the job's arguments for "wait_seconds" of its error (0: at
-- once). Everything else is returned unchanged. The clock is the database's.
-- Index: job's key. Locks: none: ack writes only rows that still carry the token.
CREATE OR REPLACE FUNCTION penstock.end_incompatible(
  p_worker bigint, p_ids bigint[], p_tokens bigint[], INOUT p_states text[], INOUT p_reasons text[], p_errors jsonb[]
)
LANGUAGE sql STABLE
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $$
  SELECT array_agg(CASE WHEN x.ended THEN 'failed' ELSE x.state END ORDER BY x.place),
         array_agg(CASE WHEN x.ended THEN 'invalid_arguments' ELSE x.reason END ORDER BY x.place)
  FROM (
    SELECT a.place, a.state, a.reason, coalesce(
        a.state = 'snooze' AND a.reason = 'incompatible_arguments' AND clock_timestamp() >= coalesce(
          j.incompatible_since, statement_timestamp()) + make_interval(secs => (a.error ->> 'wait_seconds')::double precision),
        false) AS ended
    FROM unnest(p_ids, p_tokens, p_states, p_reasons, p_errors) WITH ORDINALITY AS a (id, token, state, reason, error, place)
    LEFT JOIN penstock.job AS j ON j.id = a.id AND j.token = a.token AND j.worker = p_worker
  ) AS x
$$;
