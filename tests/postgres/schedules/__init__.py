"""Roles and logins: what each may do, what a login lacks, and the statement that grants it."""
