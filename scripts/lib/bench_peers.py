"""The servers that Postern is measured beside: fetched as Debian packages and unpacked, never installed.

Each runs in a mount namespace of its own, in which its packages lie over this machine's files (overlayfs): so programs
find the paths that are compiled into them, and nothing of it is left behind. That needs root; without it, or where a
package cannot be fetched, a peer is left out and its line says why. The configurations are in tests/bench/peers/.
"""

import os
import shutil
import string

import peers
from bench_host import Server
from localca import free_port, reachable, wait_until

CONFIGURATIONS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "bench", "peers")

# Users that the packages would have made, and a resolver that answers nothing slowly.
PASSWD = """\
postfix:x:901:901::/:/usr/sbin/nologin
dovecot:x:903:903::/:/usr/sbin/nologin
dovenull:x:904:904::/:/usr/sbin/nologin
"""
GROUP = """\
postfix:x:901:
postdrop:x:902:
dovecot:x:903:
dovenull:x:904:
"""

# In an own namespace: the packages over the machine, writable in memory; then the program.
ENTER = """\
set -e
mount -t tmpfs none "$1/over"
mkdir "$1/over/upper" "$1/over/work" "$1/over/root"
mount -t overlay overlay -o "lowerdir=$1/tree:/,upperdir=$1/over/upper,workdir=$1/over/work" "$1/over/root"
for folder in proc dev sys; do mount --rbind "/$folder" "$1/over/root/$folder"; done
mkdir -p "$1/over/root$1"
mount --bind "$1" "$1/over/root$1"
folder=$1; shift
exec chroot "$folder/over/root" "$@"
"""


class Unavailable(Exception):
    """The peer cannot run here; the text says why."""


class Peer:
    """A started peer. `ports`: dialogue -> port."""

    def __init__(self, name, server, ports):
        self.name, self.server, self.ports = name, server, ports


def _filled(folder, template, target, values):
    with open(os.path.join(CONFIGURATIONS, template)) as file:
        text = string.Template(file.read()).substitute(values)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open(target, "w") as file:
        file.write(text)


def _copy_merged(unpacked, tree):
    """As it lies on a machine whose /lib and /sbin are links into /usr."""
    merged = ("bin", "sbin", "lib", "lib64")
    shutil.copytree(unpacked, tree, symlinks=True, ignore=lambda at, _: merged if at == unpacked else ())
    for name in merged:
        if os.path.isdir(os.path.join(unpacked, name)):
            shutil.copytree(os.path.join(unpacked, name), os.path.join(tree, "usr", name), symlinks=True,
                            dirs_exist_ok=True)


def _start(name, folder, packages, files, command, ports, values):
    """`files`: template -> path in the peer's world. Waits until its ports answer."""
    if os.geteuid() != 0:
        raise Unavailable("needs root, for a mount namespace")
    try:
        unpacked = peers.fetch(*packages)
    except peers.CannotFetch as error:
        raise Unavailable(str(error).splitlines()[0]) from error
    folder = os.path.join(folder, name)
    tree = os.path.join(folder, "tree")
    os.makedirs(os.path.join(folder, "over"))
    _copy_merged(unpacked, tree)  # a layer may not lie inside another one
    values = {**values, "folder": folder, **{"port_" + key.replace("-", "_"): value for key, value in ports.items()}}
    for template, path in files.items():
        _filled(folder, template, os.path.join(tree, path.lstrip("/")), values)
    os.makedirs(os.path.join(tree, "etc"), exist_ok=True)
    for file, more in (("passwd", PASSWD), ("group", GROUP)):
        shutil.copy(f"/etc/{file}", os.path.join(tree, "etc", file))
        with open(os.path.join(tree, "etc", file), "a") as output:
            output.write(more)
    log = os.path.join(folder, "log")
    server = Server(name, ["unshare", "--mount", "sh", "-c", ENTER, "enter", folder, *command], log)

    def ready():
        if not server.running():
            raise Unavailable("it ended at once: " + (server.text().strip().splitlines() or ["without a word"])[-1])
        return all(reachable(port) for port in ports.values())
    try:
        wait_until(ready, f"{name} answers", 20)
    except TimeoutError as error:
        server.stop()
        raise Unavailable("it does not answer: " + (server.text().strip().splitlines() or ["without a word"])[-1]) \
            from error
    except Unavailable:
        server.stop()
        raise
    return Peer(name, server, ports)


def _ports(*dialogues):
    return {dialogue: free_port() for dialogue in dialogues}


def nginx_mail(folder, values):
    return _start("nginx-mail", folder, ["nginx", "libnginx-mod-mail", "libnginx-mod-stream"],
                  {"nginx-mail.conf": "/etc/nginx/bench.conf"},
                  ["/bin/sh", "-c", "mkdir -p /var/log/nginx /var/lib/nginx; exec /usr/sbin/nginx -c /etc/nginx/bench.conf"],
                  _ports("smtp", "imap", "imaps"), values)


def nginx_stream(folder, values):
    return _start("nginx-stream", folder, ["nginx", "libnginx-mod-mail", "libnginx-mod-stream"],
                  {"nginx-stream.conf": "/etc/nginx/bench.conf"},
                  ["/bin/sh", "-c", "mkdir -p /var/log/nginx /var/lib/nginx; exec /usr/sbin/nginx -c /etc/nginx/bench.conf"],
                  _ports("imaps"), values)


def haproxy(folder, values):
    return _start("haproxy", folder, ["haproxy", "liblua5.3-0", "libopentracing-c-wrapper0", "libopentracing1"],
                  {"haproxy.cfg": "/etc/haproxy/bench.cfg"}, ["/usr/sbin/haproxy", "-db", "-f", "/etc/haproxy/bench.cfg"],
                  _ports("imaps"), values)


def stunnel(folder, values):
    return _start("stunnel", folder, ["stunnel4", "libwrap0"], {"stunnel.conf": "/etc/stunnel/bench.conf"},
                  ["/usr/bin/stunnel4", "/etc/stunnel/bench.conf"], _ports("imaps"), values)


def dovecot(folder, values):
    packages = ["dovecot-core", "dovecot-imapd", "libexttextcat-2.0-0", "libstemmer0d", "liblua5.4-0", "libtirpc3",
                "libtirpc-common", "libwrap0", "libsodium23", "libunwind8", "libicu72", "libapparmor1"]
    return _start("dovecot", folder, packages, {"dovecot.conf": "/etc/dovecot/bench.conf"},
                  ["/usr/sbin/dovecot", "-F", "-c", "/etc/dovecot/bench.conf"], _ports("imap", "imaps"), values)


def postfix(folder, values):
    packages = ["postfix", "libnsl2", "libsasl2-2", "libsasl2-modules-db", "libtirpc3", "libtirpc-common", "libicu72",
                "libdb5.3"]
    prepare = ("mkdir -p /var/spool/postfix /var/lib/postfix /var/mail; cd /var/spool/postfix; "
               "mkdir -p active bounce corrupt defer deferred flush hold incoming maildrop pid private public saved trace; "
               "chown postfix active bounce corrupt defer deferred flush hold incoming private saved trace "
               "/var/lib/postfix; chown postfix:postdrop maildrop public; chmod 0730 maildrop; chmod 0710 public; "
               "exec /usr/lib/postfix/sbin/master -d -c /etc/postfix")
    return _start("postfix", folder, packages,
                  {"postfix-main.cf": "/etc/postfix/main.cf", "postfix-master.cf": "/etc/postfix/master.cf"},
                  ["/bin/sh", "-c", prepare], _ports("smtp"), values)


ALL = {"nginx mail": nginx_mail, "nginx stream": nginx_stream, "HAProxy": haproxy, "stunnel": stunnel,
       "Dovecot": dovecot, "Postfix": postfix}
