"""The pages of an audit, drawn from audit.json."""
