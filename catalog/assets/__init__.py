"""Assets: volumes, snapshots and whatever else projects hold beside machines, from the order to the end."""
