"""An OpenSSL of at least 3.5 beside the one of Debian 12 (3.0), which has no hybrid groups such as X25519MLKEM768.

command(program) is how a program of this machine is started under it: by the newer suite's own loader, because the newer
libssl.so.3 needs the newer libc, and a libc comes whole. The ABI is the same; all other libraries stay the machine's. What
the program starts in its turn finds the machine's libraries, and its /proc/self/exe is the loader.
"""

import os
import shutil
import subprocess
import sys

import newer_suite
import peers
from newer_suite import Unavailable

PACKAGES = ("libssl3t64", "openssl", "libc6", "libzstd1", "zlib1g")
SUITES = ("trixie", "forky", "sid")  # in this order, until one has it


def _under(folder, program):
    libraries = peers.library_folders(folder)
    loader = next((os.path.join(path, name) for path in libraries for name in sorted(os.listdir(path))
                   if name.startswith("ld-linux")), None)
    if not loader:
        raise Unavailable(f"there is no loader in {folder}")
    return [loader, "--library-path", ":".join(libraries), program]


def _try_out(folder):
    subprocess.run([*_under(folder, os.path.join(folder, "usr/bin/openssl")), "version"], check=True, capture_output=True)


def _folder():
    return newer_suite.fetch("openssl", PACKAGES, "3.5", SUITES, _try_out)


def command(program):
    """The arguments that start `program` under the newer OpenSSL. Raises Unavailable."""
    found = shutil.which(program)
    if not found:
        raise FileNotFoundError(program)
    return _under(_folder(), os.path.abspath(found))


def tool():
    """The arguments that start the newer `openssl` itself. Raises Unavailable."""
    folder = _folder()
    return _under(folder, os.path.join(folder, "usr", "bin", "openssl"))


if __name__ == "__main__":
    try:
        print(" ".join(command(sys.argv[1]) if len(sys.argv) > 1 else tool()))
    except Unavailable as error:
        sys.exit(str(error))
