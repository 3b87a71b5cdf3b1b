"""How the tables came to be, one file per change, oldest first; run by ``catalog.store.schema``."""
