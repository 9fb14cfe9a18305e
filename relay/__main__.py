"""`python -m relay VERB`."""

from relay.cli import main

if __name__ == "__main__":
    main(prog_name="python -m relay")
