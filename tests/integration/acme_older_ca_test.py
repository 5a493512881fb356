"""ACME against Pebble 2.4, which knows neither profiles nor renewal information (acme_support.py)."""

import acme_support


class Account(acme_support.Account):
    pass


class Orders(acme_support.Orders):
    pass


class Fallback(acme_support.Fallback):
    pass


if __name__ == "__main__":
    import unittest
    unittest.main()
