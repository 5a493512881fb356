"""Servers and tools that tests run beside Postern, fetched as Debian packages and unpacked, never installed.

fetch("bind9", "bind9-libs") gives a folder below build/peers/ with the packages' files as they would lie below /. What
runs from there needs environment(folder): the folder's libraries and programs first. Packages that the machine has
installed already are fetched all the same, so that a peer is the same everywhere.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
PEERS = os.path.normpath(os.environ.get("POSTERN_PEERS") or os.path.join(ROOT, "build", "peers"))


class CannotFetch(Exception):
    """A package cannot be had: neither here already nor from the archive."""


def _run(args, cwd=None):
    return subprocess.run(args, cwd=cwd, capture_output=True, text=True)


def _download(packages, folder):
    """The packages as files in `folder`; the package lists are brought up to date where they lack one."""
    # apt-get changes to a user of its own for the download, who may not write into our folder: root's sandbox is us.
    command = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=3", "download", *packages]
    done = _run(command, cwd=folder)
    if done.returncode != 0:
        update = ["apt-get", "-q", "update"]
        if os.geteuid() != 0:
            update = ["sudo", "-n", *update]
        _run(update)
        done = _run(command, cwd=folder)
    if done.returncode != 0:
        raise CannotFetch(f"apt-get download {' '.join(packages)} failed:\n{done.stdout}{done.stderr}")


def library_folders(folder):
    """Where the unpacked packages keep shared libraries."""
    machine = _run(["dpkg-architecture", "-qDEB_HOST_MULTIARCH"]).stdout.strip() or "x86_64-linux-gnu"
    candidates = [os.path.join(folder, base, machine) for base in ("usr/lib", "lib")]
    return [path for path in candidates if os.path.isdir(path)]


def environment(folder):
    """Environment variables under which the unpacked programs find their libraries and one another."""
    programs = [os.path.join(folder, path) for path in ("usr/sbin", "usr/bin", "sbin", "bin")]
    return {
        "LD_LIBRARY_PATH": ":".join(library_folders(folder)),
        "PATH": ":".join([path for path in programs if os.path.isdir(path)] + [os.environ.get("PATH", "")]),
    }


def program(folder, name):
    """The path of an unpacked program."""
    for path in ("usr/sbin", "usr/bin", "sbin", "bin"):
        candidate = os.path.join(folder, path, name)
        if os.access(candidate, os.X_OK):
            return candidate
    raise CannotFetch(f"{name} is not among the programs of {folder}")


def fetch(*packages):
    """The folder in which these packages are unpacked; downloads them at the first call on a machine.

    Any number of processes may call it at once. A folder appears whole or not at all.
    """
    names = sorted(packages)
    digest = hashlib.sha256(" ".join(names).encode()).hexdigest()[:8]
    folder = os.path.join(PEERS, f"{names[0]}-{digest}")
    if os.path.isdir(folder):
        return folder
    os.makedirs(PEERS, exist_ok=True)
    with open(folder + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.isdir(folder):  # another process was faster
            return folder
        work = tempfile.mkdtemp(prefix=".fetching-", dir=PEERS)
        try:
            _download(names, work)
            tree = os.path.join(work, "tree")
            os.mkdir(tree, 0o755)
            for name in sorted(os.listdir(work)):
                if not name.endswith(".deb"):
                    continue
                done = _run(["dpkg", "-x", os.path.join(work, name), tree])
                if done.returncode != 0:
                    raise CannotFetch(f"{name} cannot be unpacked: {done.stderr}")
            os.rename(tree, folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return folder
