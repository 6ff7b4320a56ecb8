"""The leader's maintenance: promotion, rescue, retention, repair, and who leads next."""
