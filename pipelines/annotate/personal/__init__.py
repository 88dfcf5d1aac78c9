"""Find personal data in texts: addresses, telephone numbers, and numbers that prove themselves."""
