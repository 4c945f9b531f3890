"""`python -m cmdclf` is the same as `cmdclf`."""

import sys

from cmdclf.cli import main

sys.exit(main())
