"""`manage.py penstock`."""
