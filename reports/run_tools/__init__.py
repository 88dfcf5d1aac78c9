"""Commands that look at run folders: lists, quarantine, takedown lists, what is installed."""
