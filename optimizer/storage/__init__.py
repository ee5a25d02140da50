"""Two stores: the control plane (SQLModel on SQLite or PostgreSQL) and the event plane (columnar, through Ibis)."""
