-- Used by same_database.py: an identity of the database, with or without our schema. Any login may run it. Locks: none.
SELECT c.system_identifier, d.oid FROM pg_control_system() AS c, pg_database AS d WHERE d.datname = current_database()
