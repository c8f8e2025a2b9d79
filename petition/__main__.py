"""`python -m petition` is `petition`."""

import os
import sys

# Python looks for modules in the folder that it was started in, and before all others: a campaign
# folder from somebody else could bring its own.
sys.path[:] = [one for one in sys.path if one not in {"", os.getcwd()}]  # noqa: PTH109

from petition.cli.start import run  # noqa: E402

if __name__ == "__main__":
    run()
