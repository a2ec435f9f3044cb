"""`python -m padalib` is the command `padalib`."""

import sys

from padalib.cli import main

sys.exit(main())
