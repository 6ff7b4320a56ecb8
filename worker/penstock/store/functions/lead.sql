-- Purpose: take or keep the leadership of p_name for p_lease seconds. Returns the seconds for which the holder has had it
-- without a gap, or NULL while another holder has it. After an expired lease the time restarts even for the same holder: a
-- process that could not reach the server for that long must not judge others by it. A lease that ends further ahead than it is
-- long was taken before the clock was set back: its holder restarts, and others ignore it once it exceeds its length by half.
-- Index: leader's key. Locks: the leader's row, waited for at most one second (55P03).
CREATE OR REPLACE FUNCTION penstock.lead(p_name text, p_holder text, p_lease double precision)
RETURNS double precision LANGUAGE sql SET lock_timeout = '1s' AS $$
  INSERT INTO penstock.leader AS l (name, holder, held_since, lease, lease_until)
  VALUES (p_name, p_holder, clock_timestamp(), make_interval(secs => p_lease),
          clock_timestamp() + make_interval(secs => p_lease))
  ON CONFLICT (name) DO UPDATE
    SET holder = p_holder, lease = make_interval(secs => p_lease), lease_until = clock_timestamp() + make_interval(secs => p_lease),
        held_since = CASE WHEN l.holder = p_holder AND l.lease_until > clock_timestamp()
                           AND l.lease_until - clock_timestamp() <= coalesce(l.lease, l.lease_until - clock_timestamp())
                          THEN l.held_since
                          ELSE clock_timestamp() END
    WHERE l.holder = p_holder OR l.lease_until <= clock_timestamp() OR l.lease_until > clock_timestamp() + l.lease * 1.5
  RETURNING extract(epoch FROM clock_timestamp() - l.held_since)::double precision
$$;
