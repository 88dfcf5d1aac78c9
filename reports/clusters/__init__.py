"""The page of duplicate clusters of a decide run."""
