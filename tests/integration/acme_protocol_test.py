"""The whole of ACME against a Pebble of at least 2.10 (acme_support.py)."""

import acme_support
import support


class Account(acme_support.Account):
    binaries = property(lambda self: support.pebble_new.binaries())


class Orders(acme_support.Orders):
    binaries = property(lambda self: support.pebble_new.binaries())


class Newer(acme_support.Newer):
    binaries = property(lambda self: support.pebble_new.binaries())


if __name__ == "__main__":
    import unittest
    unittest.main()
