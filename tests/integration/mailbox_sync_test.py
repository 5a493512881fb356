"""mbsync keeps an IMAP mailbox and a local Maildir alike, in both directions, and over a restart of the server."""

import os
import re
import unittest

from mail_support import MailCase, message, run


class Mbsync(MailCase):
    def replica(self, user):
        """The configuration of mbsync and the folder where it keeps its copies."""
        folder = self.scratch("replica")
        os.makedirs(folder, exist_ok=True)
        path = self.write("mbsyncrc", f"""
IMAPAccount postern
Host localhost
Port {self.ports['imaps']}
User {user.name}
Pass "{user.password}"
SSLType IMAPS
SystemCertificates no
CertificateFile {self.ca}

IMAPStore far
Account postern

MaildirStore near
Inbox {folder}/INBOX
SubFolders Maildir++

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Remove Both
Expunge Both
Sync All
CopyArrivalDate yes
SyncState {self.scratch('state')}-
""")
        return path, folder

    def sync(self, config):
        return run(["mbsync", "-c", config, "-a"], env={**os.environ, "HOME": self.scratch(".")}).text

    def local(self, folder, box="INBOX"):
        """The copies: subject → (file, flags)."""
        found = {}
        for part in ("new", "cur"):
            directory = os.path.join(folder, box, part)
            for name in os.listdir(directory) if os.path.isdir(directory) else []:
                path = os.path.join(directory, name)
                with open(path, "rb") as file:
                    subject = re.search(rb"^Subject: (.*?)\r?$", file.read(), re.M).group(1).decode()
                found[subject] = (path, "".join(sorted(name.rpartition(":2,")[2])) if ":2," in name else "")
        return found

    def remote(self, user, box="INBOX"):
        """The server's view: (UIDVALIDITY, UIDNEXT, {UID: (flags, subject)})."""
        client = self.imap(user)
        _, counts = client.status(box, "(UIDVALIDITY UIDNEXT)")
        client.select(f'"{box}"', readonly=True)
        _, answer = client.uid("FETCH", "1:*", "(FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
        client.logout()
        messages = {}
        for part in answer:
            if isinstance(part, tuple):
                uid = int(re.search(rb"UID (\d+)", part[0]).group(1))
                flags = {flag for flag in re.search(rb"FLAGS \(([^)]*)\)", part[0]).group(1).decode().split()
                         if flag != r"\Recent"}
                messages[uid] = (flags, part[1].decode().strip().partition(": ")[2])
        numbers = [int(number) for number in re.findall(rb"\d+", counts[0].rpartition(b"(")[2])]
        return numbers[0], numbers[1], messages

    def append(self, folder, subject, flags=""):
        for part in ("cur", "new", "tmp"):
            os.makedirs(os.path.join(folder, part), exist_ok=True)
        name = subject.replace(" ", "-")
        path = os.path.join(folder, f"cur/{name}:2,{flags}" if flags else f"new/{name}")
        with open(path, "wb") as file:
            file.write(message(subject).replace(b"\r\n", b"\n"))

    def test_everything_is_pulled_and_a_second_run_changes_nothing(self):
        user = self.user()
        config, folder = self.replica(user)
        bodies = {"plain": b"Hello.\r\n", "eight bits": "Grüße\r\n".encode(), "long": b"x" * 900 + b"\r\n" * 3000}
        for subject, body in bodies.items():
            self.deliver(user, message(subject, body))
        client = self.imap(user)
        client.create("Work.Reports")
        client.append("Work.Reports", r"(\Seen \Flagged)", None, message("report"))
        client.logout()
        self.sync(config)
        local = self.local(folder)
        self.assertEqual(set(local), set(bodies))
        for subject, body in bodies.items():
            with open(local[subject][0], "rb") as file:
                copy = re.sub(rb"X-TUID: .*\n", b"", file.read())
            self.assertTrue(copy.endswith(message(subject, body).replace(b"\r\n", b"\n")), subject)
        self.assertEqual(self.local(folder, "INBOX/.Work.Reports")["report"][1], "FS")
        before = self.local(folder), self.remote(user)
        self.sync(config)
        self.assertEqual((self.local(folder), self.remote(user)), before)

    def test_new_messages_flags_and_expunges_go_both_ways(self):
        user = self.user()
        config, folder = self.replica(user)
        for subject in ("one", "two", "three", "four"):
            self.deliver(user, message(subject))
        self.sync(config)

        # Here: a new one, flags on one, another gone, a new folder. There: flags on a third, and the fourth expunged.
        local = self.local(folder)
        self.append(os.path.join(folder, "INBOX"), "written here", "S")
        path = local["one"][0]
        os.rename(path, re.sub(r"/(new|cur)/([^/:]*)(:2,)?[A-Z]*$", r"/cur/\2:2,FRS", path))
        os.unlink(local["two"][0])
        self.append(os.path.join(folder, "INBOX", ".Drafts"), "a draft", "D")
        client = self.imap(user)
        client.select()
        client.store("3", "+FLAGS", r"(\Answered)")
        client.store("4", "+FLAGS", r"(\Deleted)")
        client.expunge()
        client.logout()
        self.sync(config)

        _, _, messages = self.remote(user)
        self.assertEqual(messages, {1: ({r"\Seen", r"\Flagged", r"\Answered"}, "one"), 3: ({r"\Answered"}, "three"),
                                    5: ({r"\Seen"}, "written here")})
        self.assertEqual(self.remote(user, "Drafts")[2], {1: ({r"\Draft"}, "a draft")})
        self.assertEqual({subject: flags for subject, (_, flags) in self.local(folder).items()},
                         {"one": "FRS", "three": "R", "written here": "S"})
        before = self.local(folder), self.remote(user)
        self.sync(config)
        self.assertEqual((self.local(folder), self.remote(user)), before)

    def test_uids_outlive_a_restart_and_nothing_is_pulled_again(self):
        user = self.user()
        config, folder = self.replica(user)
        for subject in ("one", "two"):
            self.deliver(user, message(subject))
        self.sync(config)
        before = self.local(folder), self.remote(user)
        self.assertEqual(self.server.stop(), 0)
        self.server.start()
        self.look_up_ports()
        config, folder = self.replica(user)  # the port is another
        self.sync(config)
        self.assertEqual((self.local(folder), self.remote(user)), before)
        self.deliver(user, message("three"))
        self.sync(config)
        self.assertEqual(set(self.local(folder)), {"one", "two", "three"})
        self.assertEqual(self.remote(user)[1], before[1][1] + 1)


if __name__ == "__main__":
    unittest.main()
