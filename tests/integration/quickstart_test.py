"""scripts/quickstart as a new user meets it, without its build."""

import os
import signal
import subprocess
import sys
import unittest

import support

QUICKSTART = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts", "lib", "quickstart.py")
ENVIRONMENT = {**os.environ, "POSTERN_BINARY": support.POSTERN}


class Quickstart(unittest.TestCase):
    def test_once_sends_reads_verifies_reloads_shows_the_status_and_exits_0(self):
        done = subprocess.run([sys.executable, QUICKSTART, "--once"], capture_output=True, text=True, timeout=200,
                              env=ENVIRONMENT)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        for words in ("Certificates arrive:", "verified smtp: mail.example.test", "sent a message by submissions",
                      "read it back over IMAPS", "reloaded: listener smtp changed", "every step succeeded"):
            self.assertIn(words, done.stdout)
        self.assertRegex(done.stdout, r"imap\.office\.test +office +ecdsa-p256 +valid")

    def test_it_runs_until_it_is_interrupted_and_leaves_nothing_behind(self):
        # A shell that runs us in the background has us ignore SIGINT, and so would our children.
        process = subprocess.Popen([sys.executable, QUICKSTART], stdout=subprocess.PIPE, text=True, env=ENVIRONMENT,
                                   preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        self.addCleanup(process.kill)
        folder = None
        for line in process.stdout:
            if "postern.toml" in line:
                folder = line.split("--config ")[1].split("/postern.toml")[0]
            if "Running until Ctrl-C" in line:
                break
        self.assertTrue(os.path.isdir(folder))
        process.send_signal(signal.SIGINT)
        self.assertIn("stopping", process.stdout.read())
        process.stdout.close()
        self.assertEqual(process.wait(60), 0)
        self.assertFalse(os.path.exists(folder))

    def test_a_step_that_fails_exits_1_and_says_which(self):
        done = subprocess.run([sys.executable, QUICKSTART, "--once"], capture_output=True, text=True, timeout=200,
                              env={**ENVIRONMENT, "POSTERN_BINARY": "/bin/false"})
        self.assertEqual(done.returncode, 1)
        self.assertIn("quickstart failed: hash the password", done.stderr)


if __name__ == "__main__":
    unittest.main()
