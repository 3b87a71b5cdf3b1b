"""The composition root: settings and adapters become a running gateway. The only importer of ``drivers``."""
