-- Used by rights.check_rights: the rights of a group role that this login lacks (%s: its name, its functions). Any login may
-- run it. Index: the catalog's own. Locks: none.
WITH s AS (SELECT x.oid FROM pg_namespace AS x WHERE x.nspname = 'penstock'),
  g AS (SELECT x.oid FROM pg_roles AS x WHERE x.rolname = %s)
SELECT current_user,
  coalesce(has_schema_privilege((SELECT s.oid FROM s), 'USAGE'), false),
  ARRAY(SELECT DISTINCT p.proname::text FROM s JOIN pg_proc AS p ON p.pronamespace = s.oid
    WHERE p.proname = ANY (%s) AND NOT has_function_privilege(p.oid, 'EXECUTE') ORDER BY 1),
  EXISTS (SELECT FROM g),
  coalesce((SELECT pg_has_role(current_user, g.oid, 'MEMBER') FROM g), false),
  coalesce((SELECT pg_has_role(current_user, g.oid, 'USAGE') FROM g), false),
  current_setting('server_version_num')::integer
