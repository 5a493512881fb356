"""The events hook with a real CA: a program is told of what happens to certificates."""

import json
import os
import unittest

import support
from support import acme_section, wait_until


class Hook(support.TestCase):
    def hook(self, name="hook"):
        path = os.path.join(self.folder, name)
        with open(path, "w") as file:
            file.write(f'#!/bin/sh\necho "told of $1"\necho "$1 $(cat)" >> {path}.out\n')
        os.chmod(path, 0o755)
        return path

    def events(self, kind, name="hook"):
        """What the program was given, of one kind."""
        try:
            with open(os.path.join(self.folder, name + ".out")) as file:
                whole = file.read().rpartition("\n")[0]  # without what is being written at this moment
                lines = [line.split(" ", 1) for line in whole.splitlines()]
        except FileNotFoundError:
            return []
        self.assertTrue(all(json.loads(text)["event"] == word for word, text in lines))
        return [json.loads(text) for word, text in lines if word == kind]

    def await_event(self, kind, names=None, seconds=60, hook="hook"):
        def there():
            return next((one for one in self.events(kind, hook) if names is None or one["names"] == names), None)
        return wait_until(there, f"the hook is told: {kind} {names or ''}", seconds)

    def config(self, pebble, domains=(), hook="hook"):
        names = ", ".join(f'"{name}"' for name in domains)
        return f"""
[server]
hostname = "imap.example.test"
[server.tls]
acme = "pebble"
[server.listener."imaps"]
bind = "127.0.0.1:0"
protocol = "imap"
tls.implicit = true
{acme_section(pebble, self.folder, extra=f"domains = [{names}]")}
[events]
hook = "{self.hook(hook)}"
"""

    def test_is_told_of_a_certificate_and_of_a_name_that_fails(self):
        pebble = self.pebble()
        pebble.break_name("broken.example.test")
        server = self.server(self.config(pebble, ["broken.example.test"]))
        renewed = self.await_event("renewed", ["imap.example.test"])
        certificate = server.await_certificate("imap.example.test")
        for member in ("serial", "issuer", "not_before", "not_after", "renew_at", "provider", "key_type"):
            self.assertEqual(renewed[member], certificate[member], member)
        self.assertEqual((renewed["attempts"], renewed["last_error"]), (0, None))

        failing = self.await_event("failing", ["broken.example.test"])
        self.assertIsNone(failing["serial"])
        self.assertEqual(failing["attempts"], 1)
        self.assertEqual(failing["last_error"]["name"], "broken.example.test")
        self.assertTrue(failing["next_attempt"])
        wait_until(lambda: "told of failing" in server.log(), "its output is in the log")

        # The same failure again is no news; a success is.
        server.command("renew", "broken.example.test", "--wait", check=False)
        wait_until(lambda: server.certificate("broken.example.test")["attempts"] == 2, "it has failed again")
        pebble.mend_name("broken.example.test")
        server.command("renew", "broken.example.test", "--wait")
        self.await_event("renewed", ["broken.example.test"])
        self.assertEqual(len(self.events("failing")), 1)

    def test_is_told_of_a_certificate_that_expires_though_it_should_have_been_renewed(self):
        pebble = self.pebble(validity=24)
        server = self.server(self.config(pebble))
        self.await_event("renewed")
        pebble.process.kill()
        expiring = self.await_event("expiring")
        self.assertIsNotNone(expiring["last_error"])
        expired = self.await_event("expired")
        self.assertEqual(expired["serial"], expiring["serial"])
        self.assertGreaterEqual(expired["time"], expired["not_after"])
        self.assertEqual(server.stop(), 0)

    def test_another_program_is_told_after_a_reload(self):
        pebble = self.pebble()
        server = self.server(self.config(pebble))
        self.await_event("renewed")
        server.write(self.config(pebble, hook="second"))
        self.assertIn("events.hook changed", server.command("reload").stdout)
        server.command("renew", "imap.example.test", "--force", "--wait")
        self.await_event("renewed", hook="second")
        self.assertEqual(len(self.events("renewed")), 1)


if __name__ == "__main__":
    unittest.main()
