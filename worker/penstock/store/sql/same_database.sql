-- Used by identity.py: which database this is, with our schema or without. Any login may ask. Locks: none.
SELECT c.system_identifier, d.oid FROM pg_control_system() AS c, pg_database AS d WHERE d.datname = current_database()
