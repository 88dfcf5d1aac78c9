"""The step annotate: read every input once, extract text, compute every signal as a column."""
