-- Used by operator_queries.py: an identity of the database that does not depend on its URL; the same on a standby, another one on a
-- restored dump. Includes when the schema was made, to the microsecond: only a login with rights here can know that, which
-- keeps a server that somebody else runs from passing for this database.
SELECT format('%%s/%%s/%%s', c.system_identifier, d.oid, (
  SELECT extract(epoch FROM min(v.applied_at)) FROM penstock.schema_version AS v))
FROM pg_control_system() AS c, pg_database AS d
WHERE d.datname = current_database()
