"""scripts/quickstart: a local CA, a Postern with a few listeners, and certificates that arrive."""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile

from localca import Pebble, Process, free_port, wait_until

POSTERN = os.environ.get("POSTERN_BINARY") or os.path.normpath(
    os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "build", "release", "postern"))
ACCOUNT, ADDRESS, PASSWORD = "jane", "jane@example.test", "quickstart-password"

CONFIG = """\
# What an administrator would write; only the addresses, the CA and the folders are this quickstart's.
[server]
hostname = "mail.example.test"
[server.tls]
acme = "local"

[server.listener."smtp"]
bind = "127.0.0.1:0"
protocol = "smtp"

[server.listener."submissions"]
bind = "127.0.0.1:0"
protocol = "smtp"
role = "submission"
hostname = "smtp.example.test"
tls.implicit = true

[server.listener."imaps"]
bind = "127.0.0.1:0"
protocol = "imap"
hostname = "imap.example.test"
tls.implicit = true

# A listener with a provider of its own.
[server.listener."imap-office"]
bind = "127.0.0.1:0"
protocol = "imap"
hostname = "imap.office.test"
tls.acme = "office"

[acme."local"]
directory = "{directory}"
contact = ["postmaster@example.test"]
cache = "{folder}/acme"
port = {tls_port}
challenge-bind = "127.0.0.1"
ca-file = "{ca_file}"

[acme."office"]
directory = "{directory}"
contact = ["postmaster@office.test"]
cache = "{folder}/acme-office"
port = {tls_port}
challenge-bind = "127.0.0.1"
ca-file = "{ca_file}"

[storage]
maildir = "{folder}/mail"

[[directory.memory.principals]]
name = "{account}"
secret = "{secret}"
email = ["{address}"]

[control]
socket = "{folder}/control.sock"
"""


class StepFailed(Exception):
    pass


def run(*args, **options):
    return subprocess.run(args, capture_output=True, text=True, timeout=60, **options)


def must(step, done):
    if done.returncode != 0:
        raise StepFailed(f"{step}: {' '.join(done.args)} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


class Quickstart:
    def __init__(self, folder):
        self.folder = folder
        self.pebble = self.server = None

    def start(self):
        print("Starting a local CA (Pebble) and its test DNS ...", flush=True)
        self.pebble = Pebble(os.path.join(self.folder, "pebble"), tls_port=free_port())
        secret = must("hash the password", run(POSTERN, "passwd", input=PASSWORD + "\n")).strip()
        self.config = os.path.join(self.folder, "postern.toml")
        with open(self.config, "w") as file:
            file.write(CONFIG.format(directory=self.pebble.directory, folder=self.folder, tls_port=self.pebble.tls_port,
                                     ca_file=self.pebble.ca_file, account=ACCOUNT, secret=secret, address=ADDRESS))
        print("\nWhat Postern makes of the configuration (postern check):\n")
        print(must("check", run(POSTERN, "check", "--config", self.config)), flush=True)
        self.server = Process([POSTERN, "run", "--config", self.config], os.path.join(self.folder, "postern.log"))
        wait_until(self.answers, "postern answers")

    def answers(self):
        if not self.server.running():
            raise StepFailed("start: postern ended\n" + self.server.text())
        return run(POSTERN, "status", "--config", self.config).returncode == 0

    def status(self):
        return json.loads(must("status", run(POSTERN, "status", "--json", "--config", self.config)))

    def await_certificates(self):
        print("Certificates arrive:", flush=True)
        shown = set()

        def all_there():
            certificates = self.status()["certificates"]
            for one in certificates:
                key = tuple(one["names"])
                if one["state"] == "valid" and key not in shown:
                    shown.add(key)
                    print(f"  {', '.join(one['names']):<24} from {one['provider']:<8} serial {one['serial']}, "
                          f"valid to {one['not_after']}", flush=True)
            return len(shown) == len(certificates)
        try:
            wait_until(all_there, "every certificate is there")
        except TimeoutError as error:
            raise StepFailed(f"certificates: {error}\n{self.server.text()}")
        self.root = self.pebble.roots()

    def ports(self):
        return {one["id"]: int(one["bind"][0].rsplit(":", 1)[1]) for one in self.status()["listeners"]}

    def say_how(self):
        ports = self.ports()
        print(f"""
Talk to it (account {ACCOUNT}, password {PASSWORD}, address {ADDRESS}):
  send   swaks --server 127.0.0.1 --port {ports['submissions']} --tls-on-connect --auth-user {ACCOUNT} \\
           --auth-password {PASSWORD} --from {ADDRESS} --to {ADDRESS}
  read   curl --cacert {self.root} --user {ACCOUNT}:{PASSWORD} \\
           --resolve imap.example.test:{ports['imaps']}:127.0.0.1 'imaps://imap.example.test:{ports['imaps']}/INBOX;MAILINDEX=1'
  look   openssl s_client -connect 127.0.0.1:{ports['smtp']} -starttls smtp -servername mail.example.test </dev/null
  status {os.path.relpath(POSTERN)} status --config {self.config}
  renew  {os.path.relpath(POSTERN)} renew --all --force --wait --config {self.config}
The CA's root is {self.root}, the log {self.server.log}.
""", flush=True)

    def send_and_read(self):
        ports = self.ports()
        message = os.path.join(self.folder, "message.eml")
        with open(message, "w") as file:
            file.write(f"From: {ADDRESS}\r\nTo: {ADDRESS}\r\nSubject: quickstart\r\n\r\nIt works.\r\n")
        resolve = lambda host, port: ["--cacert", self.root, "--resolve", f"{host}:{port}:127.0.0.1",
                                      "--user", f"{ACCOUNT}:{PASSWORD}", "--silent", "--show-error"]
        must("send by submissions", run("curl", *resolve("smtp.example.test", ports["submissions"]), "--mail-from", ADDRESS,
                                        "--mail-rcpt", ADDRESS, "--upload-file", message,
                                        f"smtps://smtp.example.test:{ports['submissions']}"))
        print("sent a message by submissions, with authentication; the certificate verified against the CA's root")
        text = must("read over IMAPS", run("curl", *resolve("imap.example.test", ports["imaps"]),
                                           f"imaps://imap.example.test:{ports['imaps']}/INBOX;MAILINDEX=1"))
        if "It works." not in text:
            raise StepFailed("read over IMAPS: the message is not the one that was sent:\n" + text)
        print("read it back over IMAPS; the certificate verified against the CA's root")

    def verify(self):
        ports = self.ports()
        for listener, host, mode in (("smtp", "mail.example.test", ["-starttls", "smtp"]),
                                     ("submissions", "smtp.example.test", []), ("imaps", "imap.example.test", []),
                                     ("imap-office", "imap.office.test", ["-starttls", "imap"])):
            must(f"verify {listener}", run("openssl", "s_client", "-connect", f"127.0.0.1:{ports[listener]}", "-servername",
                                           host, "-verify_hostname", host, "-verify_return_error", "-CAfile", self.root,
                                           *mode, input=""))
            print(f"verified {listener}: {host}")

    def reload(self):
        with open(self.config) as file:
            text = file.read()
        with open(self.config, "w") as file:
            file.write(text.replace('[server.listener."smtp"]', '[server.listener."smtp"]\ngreeting = "reloaded"'))
        words = must("reload", run(POSTERN, "reload", "--config", self.config))
        if "smtp" not in words:
            raise StepFailed("reload: it did not see the change:\n" + words)
        print("reloaded: " + words.strip())

    def stop(self):
        for process in (self.server, self.pebble):
            if process:
                process.stop()


def main():
    parser = argparse.ArgumentParser(prog="scripts/quickstart", description=__doc__)
    parser.add_argument("--once", action="store_true", help="go once through everything and exit by the result")
    once = parser.parse_args().once
    folder = tempfile.mkdtemp(prefix="postern-quickstart-")
    quickstart = Quickstart(folder)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        quickstart.start()
        quickstart.await_certificates()
        quickstart.say_how()
        if once:
            quickstart.verify()
            quickstart.send_and_read()
            quickstart.reload()
            print("\n" + must("status", run(POSTERN, "status", "--config", quickstart.config)))
            print("quickstart: every step succeeded")
        else:
            print("Running until Ctrl-C.", flush=True)
            quickstart.server.popen.wait()
            raise StepFailed("postern ended by itself\n" + quickstart.server.text())
    except (StepFailed, TimeoutError, subprocess.TimeoutExpired) as error:
        print(f"quickstart failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopping")
    finally:
        quickstart.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
