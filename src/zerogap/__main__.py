"""``python -m zerogap`` is ``zerogap``."""

from zerogap.cli import main

if __name__ == "__main__":
    main()
