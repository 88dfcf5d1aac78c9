"""Commands that look at the shards of a pack run, and convert them for other trainers."""
