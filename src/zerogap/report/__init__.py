"""Reports of a run: figures for tables, sentences, pictures."""
