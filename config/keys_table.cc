// The table itself; what is asked of it stands in keys.cc.
#include "config/keys.h"

namespace postern::config {
namespace {

constexpr std::int64_t minute = 60'000, day = 24 * 60 * minute, longest = 3650 * day;

Key key(std::string pattern, Type type, std::string fallback, std::string meaning, Issue issue = Issue::Main) {
  Key made{std::move(pattern), type, std::move(fallback), issue, std::move(meaning)};
  if (type == Type::Duration) made.least = 1, made.most = longest;
  return made;
}
Key count(std::string pattern, std::int64_t least, std::int64_t most, std::string fallback, std::string meaning,
          Issue issue = Issue::Main) {
  Key made = key(std::move(pattern), Type::Count, std::move(fallback), std::move(meaning), issue);
  made.least = least;
  made.most = most;
  return made;
}
Key words(std::string pattern, Type type, std::vector<std::string> allowed, std::string fallback, std::string meaning,
          Issue issue = Issue::Main) {
  Key made = key(std::move(pattern), type, std::move(fallback), std::move(meaning), issue);
  made.words = std::move(allowed);
  return made;
}
Key zeroToo(Key made) {
  made.least = 0;
  return made;
}
Key both(Key made) {
  made.alsoPerListener = true;
  return made;
}

void addServer(std::vector<Key>& to) {
  to.push_back(
      both(key("server.hostname", Type::Names, "required",
               "Name of this server; a list is one certificate of several names, the first is primary and greets. "
               "A listener's own replaces it")));
  to.push_back(both(count("server.max-connections", 0, 10'000'000, "8192",
                          "Connections at a time, over all and of each listener; 0 is unlimited")));
  to.push_back(both(count("server.max-connections-per-ip", 0, 10'000'000, "0",
                          "Connections at a time from one address; 0 is unlimited")));
  to.push_back(
      zeroToo(key("server.shutdown-timeout", Type::Duration, "10s", "How long sessions may go on after SIGTERM")));
  to.push_back(key("server.run-as.user", Type::Text, "none", "User to become once the sockets are bound"));
  to.push_back(key("server.run-as.group", Type::Text, "none", "Group to become; without it the user's"));
  to.push_back(both(count("server.socket.backlog", 1, 65535, "1024", "Connections that may wait to be accepted")));
  to.push_back(both(
      key("server.socket.reuse-addr", Type::Boolean, "true", "SO_REUSEADDR: bind although old connections linger")));
  to.push_back(
      both(key("server.socket.reuse-port", Type::Boolean, "false", "SO_REUSEPORT: several processes on one address")));
  to.push_back(both(key("server.socket.nodelay", Type::Boolean, "true", "TCP_NODELAY: small answers at once")));
  to.push_back(
      both(count("server.socket.ttl", 1, 255, "the system's", "Hops a packet may take (IP_TTL, IPV6_UNICAST_HOPS)")));
  to.push_back(
      both(zeroToo(key("server.socket.linger", Type::Duration, "the system's", "SO_LINGER, in whole seconds"))));
  to.push_back(both(count("server.socket.tos", 0, 255, "the system's", "Type of service byte (IP_TOS, IPV6_TCLASS)")));
  to.push_back(both(key("server.socket.send-buffer-size", Type::Size, "the system's", "SO_SNDBUF")));
  to.push_back(both(key("server.socket.recv-buffer-size", Type::Size, "the system's", "SO_RCVBUF")));
  to.push_back(both(key("server.proxy.trusted-networks", Type::Networks, "none",
                        "Peers in these networks must send a PROXY header (v1 or v2)")));
  to.push_back(both(
      key("server.proxy-trusted-networks", Type::Networks, "none", "Older name of `server.proxy.trusted-networks`")));
}

void addTls(std::vector<Key>& to) {
  to.push_back(both(key("server.tls.enable", Type::Boolean,
                        "true where `acme`, `certificate` or `implicit = true` is decided, else false",
                        "Whether TLS is offered; on `http` listeners `implicit` alone decides")));
  to.push_back(both(key("server.tls.implicit", Type::Boolean, "false", "TLS from the first byte; else by STARTTLS")));
  to.push_back(
      both(key("server.tls.timeout", Type::Duration, "1m", "From accept or STARTTLS to the end of the handshake")));
  to.push_back(both(key("server.tls.acme", Type::Text, "none",
                        "Name of the `[acme.<name>]` section whose CA certifies the hostname")));
  to.push_back(
      both(key("server.tls.certificate", Type::Text, "none", "Name of the `[certificate.<name>]` section to serve")));
  to.push_back(both(key("server.tls.sni", Type::Tables, "none", "Further certificates by the name a client asks for")));
  to.push_back(both(
      key("server.tls.sni.[].subject", Type::Names, "required", "Name a client asks for; may be `*.example.org`")));
  to.push_back(
      both(key("server.tls.sni.[].certificate", Type::Text, "required", "Name of the `[certificate.<name>]` section")));
  to.push_back(both(words("server.tls.policy", Type::Word, {"intermediate", "modern"}, "intermediate",
                          "Mozilla's Server Side TLS 6.0, as a whole")));
  to.push_back(both(key("server.tls.protocols", Type::Texts, "from the policy", "`TLSv1.2`, `TLSv1.3`")));
  to.push_back(both(key("server.tls.ciphers", Type::Texts, "from the policy",
                        "Cipher suites in order of preference, such as `TLS13_AES_128_GCM_SHA256`, "
                        "`TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256`")));
  to.push_back(both(key("server.tls.groups", Type::Texts, "from the policy",
                        "Key exchange groups in order of preference, such as `X25519`, `P-256`")));
  to.push_back(
      both(key("server.tls.ignore-client-order", Type::Boolean, "true", "The server's order of ciphers decides")));
  to.push_back(both(key("server.tls.session-tickets", Type::Boolean, "true",
                        "One small ticket for resumption, after the client's Finished")));
  to.push_back(both(key("server.tls.required", Type::Boolean, "true for role submission and IMAP, false for role mx",
                        "No login (role mx: no mail) without TLS")));
  to.push_back(both(key("server.tls.strict-sni", Type::Boolean, "false",
                        "Refuse handshakes without a server name, or for one that is not served here")));
  to.push_back(both(words("server.tls.client-auth", Type::Word, {"none", "request", "require"}, "none",
                          "Whether clients are asked for a certificate, or must have one that `client-ca` verifies")));
  to.push_back(both(key("server.tls.client-ca", Type::Path, "none",
                        "PEM file of the CAs that vouch for clients' certificates; needed with `require`")));
  to.push_back(both(count("server.tls.max-handshakes", 0, 10'000'000, "512",
                          "Handshakes under way at a time, over all and of each listener; 0 is unlimited")));
  to.push_back(both(key("server.tls.handshake-rate-per-ip", Type::Rate, "none",
                        "New handshakes from one address (IPv6: one /64), as `10/1s`; over all listeners, or by "
                        "itself where a listener has its own")));
}

void addListener(std::vector<Key>& to) {
  const std::string l = "server.listener.<id>.";
  to.push_back(key(l + "bind", Type::Addresses, "required", "Addresses to listen on; port 0 takes a free one"));
  to.push_back(words(
      l + "protocol", Type::Word, {"smtp", "imap", "http", "lmtp", "pop3", "managesieve", "jmap", "https"}, "required",
      "`smtp`, `imap` or `http`. `jmap` and `https` are read as `http`; `lmtp` and `pop3` are not yet in effect, "
      "`managesieve` is not opened"));
  to.push_back(words(l + "role", Type::Word, {"mx", "submission"},
                     "`submission` with `tls.implicit` or a port 465 or 587, else `mx`",
                     "smtp: `mx` takes mail for local recipients without AUTH; `submission` wants AUTH first"));
  to.push_back(
      key(l + "greeting", Type::Text, "the product line", "smtp, imap: text behind the hostname in the greeting"));
  to.push_back(key(l + "idle-timeout", Type::Duration, "5m (smtp, http), 31m (imap)",
                   "How long a session may be silent, after login where there is one; before login it has 3m in all, "
                   "or this if shorter"));
  to.push_back(key(l + "allow-plain-text", Type::Boolean, "false",
                   "Permits AUTH and LOGIN without TLS; the default of `tls.required` is then false"));
  to.push_back(key(l + "upstream", Type::Text, "none", "Backend that sessions are handed to", Issue::Edge));
  to.push_back(words(l + "upstream-proxy-protocol", Type::Word, {"v2", "v1", "none"}, "v2",
                     "PROXY header sent to the backend", Issue::Edge));
  to.push_back(key(l + "upstream-xclient", Type::Boolean, "false", "Send XCLIENT to the backend", Issue::Edge));
  to.push_back(words(l + "upstream-tls", Type::Word, {"none", "starttls", "implicit"}, "none",
                     "TLS towards the backend", Issue::Edge));
  to.push_back(key(l + "upstream-ca", Type::Path, "none", "Trust for the backend's certificate", Issue::Edge));
  to.push_back(key(l + "route-by-sni", Type::Tables, "none", "Backends by the name a client asks for", Issue::Edge));
  to.push_back(key(l + "route-by-sni.[].subject", Type::Names, "required", "Name a client asks for", Issue::Edge));
  to.push_back(key(l + "route-by-sni.[].upstream", Type::Text, "required", "Backend for it", Issue::Edge));
  to.push_back(
      key(l + "metrics", Type::Boolean, "true when every bind is loopback, else false", "http: serve `/metrics`"));
  to.push_back(key(l + "status-page", Type::Boolean, "false", "http: serve a status page", Issue::Operations));
}

void addAcme(std::vector<Key>& to) {
  const std::string a = "acme.<name>.";
  to.push_back(
      key(a + "directory", Type::Url, "`https://acme-v02.api.letsencrypt.org/directory`", "The CA's directory"));
  to.push_back(
      key(a + "contact", Type::Contacts, "none", "Mail addresses the CA may write to; a bare address gets `mailto:`"));
  to.push_back(key(a + "cache", Type::Path, "required", "Folder for accounts and certificates"));
  to.push_back(
      count(a + "port", 1, 65535, "443", "Local port that answers TLS-ALPN-01; the CA itself always dials 443"));
  to.push_back(key(a + "renew-before", Type::Duration, "a third of the lifetime, half under ten days",
                   "Renew when this much of the lifetime is left"));
  to.push_back(key(a + "domains", Type::Domains, "none",
                   "Further names, one certificate each; an inner list makes one certificate of several"));
  to.push_back(key(a + "ca-file", Type::Path, "none", "Trust for the directory besides the system's (PEM)"));
  to.push_back(key(a + "challenge-bind", Type::Ip, "`[::]`, or `0.0.0.0` without IPv6",
                   "Address of the challenge-only listener"));
  to.push_back(words(a + "challenge", Type::Words, {"tls-alpn-01", "http-01", "dns-01"}, "tls-alpn-01",
                     "Challenge types in order of preference"));
  to.push_back(
      count(a + "http-port", 1, 65535, "80", "Local port that answers HTTP-01; the CA itself always dials 80"));
  to.push_back(
      key(a + "profile", Type::Text, "none", "Name of one of the CA's certificate profiles, such as `shortlived`"));
  to.push_back(key(a + "preferred-chain", Type::Text, "none",
                   "Common name of the root, or of another issuer, that the chain shall lead to"));
  to.push_back(key(a + "eab.key-id", Type::Text, "none", "External account binding: key identifier, from the CA"));
  to.push_back(key(a + "eab.hmac-key", Type::Secret, "none",
                   "External account binding: the key in base64url, or `file:///path`"));
  to.push_back(
      key(a + "reuse-key", Type::Boolean, "false", "Keep the key at renewal; else each certificate has a new one"));
  to.push_back(key(a + "fallback", Type::Texts, "none",
                   "Other `[acme.<name>]` sections to turn to, in this order, when this one cannot issue"));
  to.push_back(key(a + "staging", Type::Text, "none",
                   "An `[acme.<name>]` section or a directory's URL where a retry is proved first"));
  to.push_back(count(a + "orders", 1, 1000, "8", "Orders under way at a time"));
  to.push_back(key(a + "export", Type::Path, "none", "Folder for copies that other programs read"));
  to.push_back(key(a + "export-group", Type::Text, "none", "Group that may read those copies"));
  to.push_back(words(
      a + "key-type", Type::Words, {"ecdsa-p256", "ecdsa-p384", "rsa-2048", "rsa-3072", "rsa-4096"}, "ecdsa-p256",
      "One ECDSA type, one RSA type, or both: then two certificates are served side by side, the first preferred"));
  to.push_back(words(a + "dns.provider", Type::Word, {"rfc2136-tsig", "hook"}, "none", "How DNS-01 records are set"));
  to.push_back(key(a + "dns.server", Type::Text, "none",
                   "The zone's primary server, a name or address, perhaps with `:port`; hook: asked first, before "
                   "the system's resolver, where a record belongs and whether it shows"));
  to.push_back(key(a + "dns.key", Type::Text, "none", "rfc2136-tsig: name of the TSIG key"));
  to.push_back(key(a + "dns.secret", Type::Secret, "none", "rfc2136-tsig: the TSIG key in base64, or `file:///path`"));
  to.push_back(words(a + "dns.tsig-algorithm", Type::Word,
                     {"hmac-sha1", "hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512"}, "hmac-sha256",
                     "rfc2136-tsig: the key's algorithm"));
  to.push_back(key(a + "dns.ttl", Type::Duration, "1m", "Time to live of the records, at least 1s"));
  to.push_back(
      key(a + "dns.propagation-timeout", Type::Duration, "10m", "How long to wait until all servers show a record"));
  to.push_back(key(a + "dns.polling-interval", Type::Duration, "5s", "Pause between looks"));
  to.push_back(key(a + "dns.hook", Type::Path, "none", "hook: program called with `present|cleanup NAME VALUE`"));
}

std::vector<Key> table() {
  std::vector<Key> all;
  all.push_back(key("macros.<name>", Type::Any, "none", "Value of `%{NAME}%` (main file only)"));
  all.push_back(key("include.files", Type::Paths, "none",
                    "Further files, relative to this one; `*`, `?` and `[...]` match names"));
  addServer(all);
  addTls(all);
  addListener(all);
  addAcme(all);
  all.push_back(key("certificate.<name>.cert", Type::Pem, "required", "Certificate and chain, PEM or `file:///path`"));
  all.push_back(key("certificate.<name>.private-key", Type::Pem, "required", "Private key, PEM or `file:///path`"));
  all.push_back(key("directory.memory.disable", Type::Boolean, "false", "Pass over the accounts below"));
  all.push_back(
      key("directory.memory.principals", Type::Tables, "none", "Accounts, one `[[directory.memory.principals]]` each"));
  all.push_back(key("directory.memory.principals.[].name", Type::Text, "required", "Login, and folder of its mail"));
  all.push_back(key("directory.memory.principals.[].secret", Type::Secret, "required",
                    "Password, plain or as crypt(3) hash (`postern passwd`), or `file:///path`"));
  all.push_back(
      key("directory.memory.principals.[].email", Type::MailAddresses, "none", "Addresses that are delivered to it"));
  all.push_back(key("storage.maildir", Type::Path, "none",
                    "Folder of the accounts' mail; without it local delivery and reading are off"));
  all.push_back(key("control.socket", Type::Path, "`$RUNTIME_DIRECTORY/control.sock`, else `/run/postern/control.sock`",
                    "Socket for `postern status`, `reload`, `renew`"));
  all.push_back(count("global.thread-pool", 1, 1024, "the number of cores", "Event loops"));
  all.push_back(words("global.tracing.level", Type::Word, {"trace", "debug", "info", "warn", "error"}, "info",
                      "Least level that is logged"));
  all.push_back(words("global.tracing.format", Type::Word, {"text", "json"}, "text", "Form of a log line"));
  all.push_back(words("global.tracing.method", Type::Word, {"stderr", "log", "stdout", "journal", "open-telemetry"},
                      "`log` where `path` is set, else `stderr`",
                      "`stderr`, or `log` for a file. The others, of other mail servers, are read as `stderr`"));
  all.push_back(key("global.tracing.path", Type::Path, "none", "Log file; with `method = \"log\"` its folder"));
  all.push_back(key("global.tracing.prefix", Type::Text, "postern.log",
                    "Name of the log file in `path` with `method = \"log\"`"));
  all.push_back(key("events.hook", Type::Path, "none", "Program told of events; it gets JSON on its standard input"));
  return all;
}

}  // namespace

const std::vector<Key>& keys() {
  static const std::vector<Key> all = table();
  return all;
}

}  // namespace postern::config
