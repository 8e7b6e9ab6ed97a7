"""Run the `kinto` command by `python -m scripts`."""

import sys

from scripts.command import main

sys.exit(main())
