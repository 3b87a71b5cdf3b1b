"""Every row the store keeps: one file per aggregate, with its states and transitions."""
