"""Migrations, the declared and undeclared queues, the schema's dump and the documents' statements."""
