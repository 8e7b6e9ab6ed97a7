"""Let `python -m scripts` be the same as `kinto`."""

import sys

from scripts.command import main

sys.exit(main())
