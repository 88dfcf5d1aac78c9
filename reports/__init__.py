"""Reports: every page, card and reader of runs. May import the core and the contracts of rooms; nothing imports it."""
