"""`gristmill explore`: what every rule of a run drops and keeps, drawn around its threshold, with the documents nearest to it."""
