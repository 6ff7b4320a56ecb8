"""Orders, their jobs and the views that place them."""
