-- Purpose: the part of enqueue_many that refuses bodies above 256 KiB: bytes of JSON without the space that Postgres writes
-- after each comma and colon. Measures the text, because a claim returns text: a short number may be long there (1e131071 has
-- 131,072 digits), and a job whose text cannot be produced would fail every claim of its queue. Returns the size of the
-- largest.
-- Index: none. Locks: none.
CREATE OR REPLACE FUNCTION penstock.check_size(p_what text, p_bodies jsonb[]) RETURNS integer LANGUAGE plpgsql STRICT AS $$
DECLARE
  v_body jsonb;
  v_text text;
  v_bytes integer;
  v_max integer;
BEGIN
  IF cardinality(p_bodies) > 10 THEN  -- for fewer, the statement costs more than it saves
    SELECT max(octet_length(b::text)) INTO v_max FROM unnest(p_bodies) AS u (b);
    IF coalesce(v_max, 0) <= 262144 THEN
      RETURN v_max;
    END IF;
  END IF;
  FOREACH v_body IN ARRAY p_bodies LOOP
    v_bytes := octet_length(v_body::text);
    IF v_bytes BETWEEN 262145 AND 393216 THEN  -- the spaces decide
      v_text := regexp_replace(v_body::text, E'"(\\\\.|[^"\\\\])*"', '', 'g');
      v_bytes := v_bytes - length(v_text) + length(replace(replace(v_text, ', ', ','), ': ', ':'));
    END IF;
    IF v_bytes > 262144 THEN
      RAISE EXCEPTION 'enqueue: % of a job are % bytes as JSON, the limit is 262144', p_what, v_bytes USING ERRCODE = '54000';
    END IF;
    v_max := greatest(v_max, v_bytes);
  END LOOP;
  RETURN v_max;
END $$;
