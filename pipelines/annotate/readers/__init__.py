"""Read inputs of every kind as Arrow batches of records, and name every record that cannot be read."""
