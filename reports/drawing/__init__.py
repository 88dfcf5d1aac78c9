"""What all pages are drawn with: markup, tables, charts, numbers as text, differences of texts."""
