-- Purpose: renew a worker's lease and compare its claims with the tables. An expired lease that was not rescued is renewed; a
-- lost one is not. One snapshot sees job and outcome: an acknowledgement being committed on another connection never reads as
-- fenced. Returns the worker's state (NULL: no such row), the (id, token) pairs that are neither running here nor in outcome,
-- and the ids to cancel. p_drained: the worker has no claims left; a cordoned one becomes drained. p_report: its report for
-- people. Malformed counts and reports are dropped: they would fail every list of workers. A gap of half a lease since the last
-- renewal resets the contact time of may_rescue: the database may have been down. So does a last renewal that lies ahead: the
-- clock was set back.
-- Index: worker's key, job's key, outcome_job. Locks: the worker's row.
CREATE OR REPLACE FUNCTION penstock.renew(
  p_worker bigint, p_lease double precision, p_ids bigint[], p_tokens bigint[], p_in_flight jsonb, p_done jsonb,
  p_drained boolean, p_report jsonb DEFAULT NULL, OUT state text, OUT fenced_ids bigint[], OUT fenced_tokens bigint[], OUT cancelled_ids bigint[]
) LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  v_now timestamptz := clock_timestamp();
  v_odd CONSTANT jsonpath := 'strict $.* ? (@.type() != "number" || @ != @.floor() || @ < 0 || @ > 1000000000000)';
  v_many CONSTANT jsonpath := 'strict $.* ? (@ > 2147483647)';
  v_scalar CONSTANT jsonpath := 'strict $.jobs[*] ? (@.type() != "object")';
BEGIN
  IF cardinality(p_ids) IS DISTINCT FROM cardinality(p_tokens) THEN
    RAISE EXCEPTION 'renew: there must be as many tokens as ids (%), got %', cardinality(p_ids), cardinality(p_tokens)
      USING ERRCODE = '22023';
  END IF;
  UPDATE penstock.worker AS w
  SET lease_until = v_now + make_interval(secs => p_lease), lease = make_interval(secs => p_lease), renewed_at = v_now,
      unbroken_since = CASE WHEN v_now - w.renewed_at BETWEEN '0' AND make_interval(secs => p_lease) / 2 THEN w.unbroken_since ELSE v_now END,
      in_flight = CASE WHEN jsonb_typeof(p_in_flight) <> 'object' OR p_in_flight @? v_odd OR p_in_flight @? v_many
                       THEN '{}' ELSE p_in_flight END,
      done = CASE WHEN jsonb_typeof(p_done) <> 'object' OR p_done @? v_odd THEN '{}' ELSE p_done END,
      report = CASE WHEN jsonb_typeof(p_report) = 'object' AND jsonb_typeof(coalesce(p_report -> 'jobs', '[]')) = 'array'
                         AND (p_report @? v_scalar) IS NOT TRUE THEN p_report ELSE '{}' END,
      state = CASE WHEN w.state = 'cordoned' AND p_drained THEN 'drained' ELSE w.state END
  WHERE w.id = p_worker AND w.state <> 'lost' RETURNING w.state INTO state;
  IF NOT FOUND THEN
    SELECT w.state INTO state FROM penstock.worker AS w WHERE w.id = p_worker;
  END IF;
  SELECT array_agg(a.id) FILTER (WHERE j.id IS NULL AND o.job_id IS NULL),
         array_agg(a.token) FILTER (WHERE j.id IS NULL AND o.job_id IS NULL),
         array_agg(a.id) FILTER (WHERE j.cancel)
  INTO fenced_ids, fenced_tokens, cancelled_ids
  FROM unnest(p_ids, p_tokens) AS a (id, token)
  LEFT JOIN penstock.job AS j ON j.id = a.id AND j.token = a.token AND j.worker = p_worker
  LEFT JOIN penstock.outcome AS o ON j.id IS NULL AND o.job_id = a.id AND o.token = a.token;
END $$;
