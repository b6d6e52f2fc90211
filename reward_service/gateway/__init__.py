"""HTTP in front of the engine. No handler code ever runs in this process."""
