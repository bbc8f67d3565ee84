"""The lab session inside pytest: collection, the loop, what items say. Loaded only when `--devices` is given."""
