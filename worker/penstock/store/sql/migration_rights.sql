-- Used by migration_rights.missing_right: the rights that this login lacks for a migration. Any login may run it.
-- Index: the catalog's own. Locks: none.
WITH n AS (SELECT x.oid, x.nspowner FROM pg_namespace AS x WHERE x.nspname = 'penstock'),
  o AS (SELECT c.relowner AS owner FROM n JOIN pg_class AS c ON c.relnamespace = n.oid WHERE c.relkind IN ('r', 'p', 'v', 'S')
        UNION SELECT p.proowner FROM n JOIN pg_proc AS p ON p.pronamespace = n.oid)
SELECT current_user::text, current_database()::text, EXISTS (SELECT FROM n),
  coalesce((SELECT has_schema_privilege(n.oid, 'CREATE') AND has_schema_privilege(n.oid, 'USAGE') FROM n),
           has_database_privilege(current_database(), 'CREATE')),
  (SELECT min(pg_get_userbyid(o.owner))::text FROM o WHERE NOT pg_has_role(current_user, o.owner, 'USAGE')),
  has_language_privilege('plpgsql', 'USAGE'),
  (SELECT s.spcname::text FROM pg_tablespace AS s
   WHERE s.spcname = current_setting('default_tablespace') AND NOT has_tablespace_privilege(s.oid, 'CREATE'))
