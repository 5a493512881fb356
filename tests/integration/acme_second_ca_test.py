"""A second CA beside the first, both Pebbles of at least 2.10: as fallback and for staging (acme_support.py)."""

import acme_support
import support


class Fallback(acme_support.Fallback):
    binaries = property(lambda self: support.pebble_new.binaries())


class Staging(acme_support.Staging):
    binaries = property(lambda self: support.pebble_new.binaries())


if __name__ == "__main__":
    import unittest
    unittest.main()
