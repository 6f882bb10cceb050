"""``python -m stargan_lab``."""

import sys

from stargan_lab.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
