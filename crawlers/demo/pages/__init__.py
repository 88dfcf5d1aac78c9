"""What the demo site serves: wiki, news and social pages around the demo text, with planted good and bad cases."""
