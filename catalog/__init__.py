"""Every fact and every decision about what exists and who may use it."""
