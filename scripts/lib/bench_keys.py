"""The certificates that every server of a bench shows: a root, an intermediate, and leaves signed by it."""

import os
import subprocess

CONFIG = """\
[req]
distinguished_name = dn
prompt = no
[dn]
CN = mail.example.test
[ca]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign
[leaf]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:mail.example.test
"""

ECDSA = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
RSA = ["-newkey", "rsa:2048", "-nodes"]


class Keys:
    """Files in `folder`: root.pem; leaf(name, kind) gives the paths of a chain (leaf, intermediate) and its key."""

    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder)
        with open(self.path("cnf"), "w") as file:
            file.write(CONFIG)
        self._openssl("req", "-x509", *ECDSA, "-keyout", self.path("root.key"), "-out", self.path("root.pem"), "-days", "30",
                      "-subj", "/CN=Bench Root", "-config", self.path("cnf"), "-extensions", "ca")
        self._sign("intermediate", "root", "ca", ECDSA, ["-subj", "/CN=Bench Intermediate"])
        self.root = self.path("root.pem")

    def path(self, name):
        return os.path.join(self.folder, name)

    def _openssl(self, *args):
        subprocess.run(["openssl", *args], check=True, capture_output=True)

    def _sign(self, name, issuer, extensions, kind, subject=()):
        self._openssl("req", "-new", *kind, "-keyout", self.path(name + ".key"), "-out", self.path(name + ".csr"), *subject,
                      "-config", self.path("cnf"))
        self._openssl("x509", "-req", "-in", self.path(name + ".csr"), "-CA", self.path(issuer + ".pem"), "-CAkey",
                      self.path(issuer + ".key"), "-CAcreateserial", "-days", "20", "-out", self.path(name + ".pem"),
                      "-extfile", self.path("cnf"), "-extensions", extensions)

    def leaf(self, name, kind=ECDSA):
        """(chain, key, both in one file)"""
        self._sign(name, "intermediate", "leaf", kind)
        chain, both = self.path(name + "-chain.pem"), self.path(name + "-both.pem")
        text = "".join(open(self.path(part + ".pem")).read() for part in (name, "intermediate"))
        with open(chain, "w") as file:
            file.write(text)
        with open(both, "w") as file:
            file.write(text + open(self.path(name + ".key")).read())
        return chain, self.path(name + ".key"), both
