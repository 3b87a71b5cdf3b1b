"""Pages for people who come with nothing but a browser: no scripts, nothing from anywhere else."""
