"""Ends with 0 when the page of RISKPIPE_HEALTH_URL answers 200, or when none is named; else with 1 and the reason."""

import os
import sys
import urllib.error
import urllib.request

URL = os.environ.get("RISKPIPE_HEALTH_URL")

if URL:
    try:
        with urllib.request.urlopen(URL, timeout=4) as answer:  # noqa: S310  an address of this container's own settings
            STATUS = answer.status
    except (OSError, urllib.error.URLError) as error:
        sys.exit(f"{URL}: {error}")
    if STATUS != 200:
        sys.exit(f"{URL} answers {STATUS}")
