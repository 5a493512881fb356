"""BIND beside the tests: an authoritative server whose zones take updates signed with a TSIG key."""

import os
import subprocess

import peers
from support import Process, free_port, wait_until

# named's own libraries, where a machine lacks them, and nsupdate and dig.
PACKAGES = ("bind9", "bind9-libs", "bind9-utils", "bind9-dnsutils", "libfstrm0", "libjemalloc2", "libjson-c5",
            "liblmdb0", "libmaxminddb0", "libnghttp2-14", "libprotobuf-c1", "libuv1", "libxml2", "libicu72", "libcap2")

KEY_NAME = "acme-key"
SECRET, OTHER_SECRET = "c2VjcmV0IG9mIHRoZSB0ZXN0cyBvZiBwb3N0ZXJu", "YW5vdGhlciBzZWNyZXQgYW5kIHRoZSB3cm9uZyBvbmU="


class Bind:
    """
    zones      names; everything in them is at 127.0.0.1
    records    {zone: further lines of its file}
    writable   the zones whose TXT records the TSIG key may change; all when None
    recursion  follows a CNAME from one of its zones into another, as a resolver would for a CA
    """

    def __init__(self, folder, zones, records=None, algorithm="hmac-sha256", writable=None, recursion=False):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        self.peers = peers.fetch(*PACKAGES)
        self.environment = peers.environment(self.peers)
        self.port = free_port()
        self.algorithm = algorithm
        config = [
            f'options {{ directory "{folder}"; pid-file "{folder}/named.pid"; session-keyfile "{folder}/session.key";',
            f' lock-file none; listen-on port {self.port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};',
            f' recursion {"yes" if recursion else "no"}; dnssec-validation no; allow-query {{ any; }}; }};',
            'controls { };',
            f'key "{KEY_NAME}" {{ algorithm {algorithm}; secret "{SECRET}"; }};',
        ]
        for zone in zones:
            with open(os.path.join(folder, zone + ".zone"), "w") as file:
                file.write(f"$ORIGIN {zone}.\n$TTL 60\n@ IN SOA ns hostmaster 1 60 60 60 60\n@ IN NS ns\n"
                           "@ IN A 127.0.0.1\nns IN A 127.0.0.1\n* IN A 127.0.0.1\n"
                           + "".join(record + "\n" for record in (records or {}).get(zone, [])))
            may = writable is None or zone in writable
            policy = f"grant {KEY_NAME} subdomain {zone}. TXT;" if may else "deny * subdomain . ANY;"
            config.append(f'zone "{zone}" {{ type primary; file "{zone}.zone"; update-policy {{ {policy} }}; }};')
        path = os.path.join(folder, "named.conf")
        with open(path, "w") as file:
            file.write("\n".join(config) + "\n")
        self.process = Process([peers.program(self.peers, "named"), "-g", "-n", "1", "-c", path, "-p", str(self.port)],
                               os.path.join(folder, "named.log"), self.environment)
        self.address = f"127.0.0.1:{self.port}"

        def answers():
            if not self.process.running():
                raise AssertionError("named did not start:\n" + self.process.text())
            return self.dig(zones[0], "SOA")
        wait_until(answers, "BIND answers")

    def dig(self, name, kind):
        """The records' data, as BIND has them now."""
        args = [peers.program(self.peers, "dig"), "+short", "+norecurse", "+time=2", "+tries=1", "@127.0.0.1",
                "-p", str(self.port), name, kind]
        done = subprocess.run(args, capture_output=True, text=True, env={**os.environ, **self.environment})
        return [line for line in done.stdout.splitlines() if line and not line.startswith(";")]

    def hook(self, path):
        """A hook program that sets records with nsupdate; its calls are in `path`.calls."""
        nsupdate = peers.program(self.peers, "nsupdate")
        with open(path, "w") as file:
            file.write(f"""#!/bin/sh
export LD_LIBRARY_PATH='{self.environment["LD_LIBRARY_PATH"]}'
echo "$1 $2" >> '{path}.calls'
echo "about to $1 $2"
case $1 in present) change="add $2 60 TXT $3" ;; cleanup) change="delete $2 TXT $3" ;; esac
key='{self.algorithm}:{KEY_NAME}:{SECRET}'
printf 'server 127.0.0.1 {self.port}\\nupdate %s\\nsend\\n' "$change" | '{nsupdate}' -y "$key"
""")
        os.chmod(path, 0o755)
        return path

    def kill(self):
        self.process.kill()
