"""Background work: one file per task; each takes no input, is idempotent, and is woken as well as periodic."""
