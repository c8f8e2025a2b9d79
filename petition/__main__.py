"""`python -m petition` is `petition`."""

from petition.cli.main import run

if __name__ == "__main__":
    run()
