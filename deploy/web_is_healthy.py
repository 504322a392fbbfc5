"""The health check inside a web container: exit 1 unless /healthz answers 200.

Asked under the site's own name, because a request under any other is refused.
"""

import os
import sys
import urllib.request

url = f"http://127.0.0.1:{os.environ.get('PORT', '8000')}/healthz"
host = os.environ["ALLOWED_HOSTS"].split(",")[0].strip().lstrip(".")
try:
    with urllib.request.urlopen(
        urllib.request.Request(url, headers={"Host": host}),
        timeout=4,
    ) as reply:
        sys.exit(reply.status != 200)
except OSError as error:
    sys.exit(f"{url} does not answer: {error}")
