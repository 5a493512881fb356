"""A Pebble of at least 2.10 beside the one of Debian 12 (2.4), which knows neither renewal information nor profiles.

binaries() gives the folder of its `pebble` and `pebble-challtestsrv`, fetched at the first call (newer_suite.py).
"""

import os
import subprocess
import sys

import newer_suite
from newer_suite import Unavailable

SUITES = ("forky", "sid", "trixie-backports")  # in this order, until one has it


def _try_out(folder):
    subprocess.run([os.path.join(folder, "usr/bin/pebble"), "-version"], check=True, capture_output=True)


def binaries():
    """The folder that holds the binaries. Raises Unavailable."""
    return os.path.join(newer_suite.fetch("pebble", ("pebble",), "2.10", SUITES, _try_out), "usr", "bin")


if __name__ == "__main__":
    try:
        print(binaries())
    except Unavailable as error:
        sys.exit(str(error))
