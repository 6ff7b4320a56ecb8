-- Used by diagnostics.Checkup: the settings of the server, the database and the login, as a new session has them.
-- Index: the catalog's own. Locks: none.
SELECT jsonb_build_object(
  'encoding', current_setting('server_encoding'),
  'settings', (SELECT jsonb_object_agg(s.name, concat(s.reset_val, CASE WHEN s.reset_val <> '0' THEN ' ' || s.unit END))
               FROM pg_settings AS s),
  'row_security', (SELECT coalesce(jsonb_agg(c.relname::text ORDER BY c.relname), '[]') FROM pg_class AS c
                   JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = 'penstock' AND c.relrowsecurity))
