"""The commands of ``zerogap``, one a file; ``zerogap.cli`` puts them together."""
