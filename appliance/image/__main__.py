"""`python -m appliance.image`."""

import sys

from appliance.image.cli import main

sys.exit(main())
