"""The step decide: rules, rights, takedowns and duplicates say keep or drop for every document."""
