"""The prose of the demo site: about people, jobs and places, English and Chinese, written by rule from a fixed seed and free of rights (CC0)."""
