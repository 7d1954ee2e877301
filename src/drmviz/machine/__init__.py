"""What this machine has and does: its limits, its processes, its GPUs; shared by the sources."""
