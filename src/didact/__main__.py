"""``python -m didact`` is ``didact``."""

import sys

from didact.cli.main import main

sys.exit(main())
