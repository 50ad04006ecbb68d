"""`python -m otel_ext`."""

import sys

from otel_ext.cli import main

sys.exit(main())
