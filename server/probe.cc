#include "server/probe.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <stdexcept>
#include <utility>

#include "base/error.h"
#include "listeners/endpoint.h"
#include "tls/openssl.h"

namespace postern::server {

namespace {

constexpr std::chrono::milliseconds pauseFor{20};  // each handshake: ours and the listener's take one or two

struct ProbeFailed : std::runtime_error {
  using runtime_error::runtime_error;
};

class Connected {
 public:
  Connected(const listeners::Address& address, std::chrono::milliseconds timeout, listeners::OwnVisits* visits) {
    sockaddr_storage storage{};
    socklen_t length = 0;
    if (address.isIpv6()) {
      auto* in6 = reinterpret_cast<sockaddr_in6*>(&storage);
      in6->sin6_family = AF_INET6;
      in6->sin6_port = htons(address.port);
      ::inet_pton(AF_INET6, address.host.c_str(), &in6->sin6_addr);
      length = sizeof *in6;
    } else {
      auto* in = reinterpret_cast<sockaddr_in*>(&storage);
      in->sin_family = AF_INET;
      in->sin_port = htons(address.port);
      ::inet_pton(AF_INET, address.host.c_str(), &in->sin_addr);
      length = sizeof *in;
    }
    descriptor_ = ::socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (visits) announce(*visits, storage, length);
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(timeout);
    timeval limit{seconds.count(), static_cast<suseconds_t>((timeout - seconds).count() * 1000)};
    if (descriptor_ >= 0) {
      ::setsockopt(descriptor_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
      ::setsockopt(descriptor_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    }
    if (descriptor_ < 0 || ::connect(descriptor_, reinterpret_cast<sockaddr*>(&storage), length) != 0) {
      const int reason = errno;
      if (descriptor_ >= 0) ::close(descriptor_);
      throw ProbeFailed("cannot connect to " + address.text() + ": " + errnoText(reason));
    }
  }
  ~Connected() { ::close(descriptor_); }
  Connected(const Connected&) = delete;
  Connected& operator=(const Connected&) = delete;

  int descriptor() const { return descriptor_; }
  void send(std::string_view bytes) {
    if (::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(bytes.size())) {
      throw ProbeFailed("cannot write: " + errnoText(errno));
    }
  }
  // Reads lines until one begins with `last`; byte by byte, so that nothing of the handshake is taken.
  void readUntilLine(std::string_view last) {
    std::string line;
    for (int taken = 0; taken < 65536; ++taken) {
      char c = 0;
      const ssize_t got = ::recv(descriptor_, &c, 1, 0);
      if (got < 0) throw ProbeFailed("no answer: " + errnoText(errno));
      if (got == 0) throw ProbeFailed("closed before the handshake, after: " + line);
      if (c != '\n') {
        line += c;
        continue;
      }
      if (line.substr(0, last.size()) == last) return;
      line.clear();
    }
    throw ProbeFailed("no line that begins with " + std::string(last));
  }

 private:
  // Our end is known before the other one sees it. Where that cannot be, we come as anybody would.
  void announce(listeners::OwnVisits& visits, sockaddr_storage own, socklen_t length) {
    if (own.ss_family == AF_INET6) {
      reinterpret_cast<sockaddr_in6&>(own).sin6_port = 0;
    } else {
      reinterpret_cast<sockaddr_in&>(own).sin_port = 0;
    }
    if (descriptor_ < 0 || ::bind(descriptor_, reinterpret_cast<const sockaddr*>(&own), length) != 0) return;
    visit_.emplace(visits, listeners::localEndpoint(descriptor_));
  }

  int descriptor_ = -1;
  std::optional<listeners::OwnVisits::Visit> visit_;
};

void startTls(Connected& connection, listeners::Protocol protocol) {
  switch (protocol) {
    case listeners::Protocol::Smtp:
      connection.readUntilLine("220 ");
      connection.send("EHLO localhost\r\n");
      connection.readUntilLine("250 ");
      connection.send("STARTTLS\r\n");
      connection.readUntilLine("220 ");
      return;
    case listeners::Protocol::Imap:
      connection.readUntilLine("* OK");
      connection.send("p STARTTLS\r\n");
      connection.readUntilLine("p OK");
      return;
    case listeners::Protocol::Http:
    case listeners::Protocol::ChallengeOnly: return;
  }
}

// As a client that takes signatures of the expected certificate's key alone; by them a server chooses in TLS 1.2 too.
bool signsAlike(SSL* ssl, const ProbeTarget& target) {
  if (!target.onlyItsKeyType) return true;
  char ecdsa[] = "ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512";
  char rsa[] = "RSA-PSS+SHA256:RSA-PSS+SHA384:RSA-PSS+SHA512:RSA+SHA256:RSA+SHA384:RSA+SHA512";
  const bool isRsa = EVP_PKEY_is_a(target.expected->key(), "RSA") == 1;
  return SSL_set1_sigalgs_list(ssl, isRsa ? rsa : ecdsa) == 1;
}

}  // namespace

std::vector<ProbeTarget> probeTargets(const listeners::ListenerSettings& settings, const listeners::Address& bound,
                                      const std::vector<tls::CertifiedKeyRef>& served,
                                      const std::vector<tls::NameShown>& further) {
  ProbeTarget target{settings.id, bound, settings.protocol, settings.tls, settings.hostnames.front(), false,
                     nullptr,     false};
  if (bound.host == "::") target.address.host = "::1";
  if (bound.host == "0.0.0.0") target.address.host = "127.0.0.1";
  const auto own = listeners::parseIp(target.address.host);
  for (const auto& network : settings.trustedNetworks) {
    if (own && network.contains(*own)) target.proxyHeader = true;
  }
  std::vector<ProbeTarget> targets;
  const auto add = [&](const std::vector<tls::CertifiedKeyRef>& certificates) {
    target.onlyItsKeyType = certificates.size() > 1;
    for (const auto& certificate : certificates) {
      target.expected = certificate;
      targets.push_back(target);
    }
  };
  add(served);
  for (const auto& one : further) {
    target.serverName = one.name;
    add(one.certificates);
  }
  return targets;
}

std::vector<ProbeTarget> probeTargets(const listeners::ListenerSettings& settings, const listeners::Address& bound,
                                      const tls::ServerContext& context, std::size_t most, std::uint64_t choice) {
  return probeTargets(settings, bound, context.shownFor(settings.hostnames.front()),
                      context.furtherNames(most, choice));
}

ProbeResult probeOnce(const ProbeTarget& target, std::chrono::milliseconds timeout, listeners::OwnVisits* visits) {
  try {
    Connected connection(target.address, timeout, visits);
    // PROXY v2, command LOCAL: the connection is our own (haproxy's proxy-protocol.txt, section 2.2).
    using namespace std::string_view_literals;
    if (target.proxyHeader) connection.send("\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"sv);
    if (target.tls == listeners::TlsMode::StartTls) startTls(connection, target.protocol);
    ERR_clear_error();
    tls::SslCtxPtr context(SSL_CTX_new(TLS_client_method()));
    tls::SslPtr ssl(context ? SSL_new(context.get()) : nullptr);
    if (!ssl || SSL_set_fd(ssl.get(), connection.descriptor()) != 1 || !signsAlike(ssl.get(), target) ||
        SSL_ctrl(ssl.get(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                 const_cast<char*>(target.serverName.c_str())) != 1) {  // the macro for it has a C cast
      return {false, tls::drainErrors()};
    }
    const bool stands = SSL_connect(ssl.get()) == 1;
    tls::CertPtr peer(SSL_get1_peer_certificate(ssl.get()));
    // A listener that requires a certificate of its clients refuses us, in TLS 1.2 within the handshake; by then it has
    // shown its own, and that it has the key.
    const int reason = stands ? 0 : ERR_GET_REASON(ERR_peek_last_error());
    const bool unwelcome = peer && reason == SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE;
    if (!stands && !unwelcome) return {false, "the handshake failed: " + tls::drainErrors()};
    SSL_shutdown(ssl.get());
    if (!peer) return {false, "no certificate came"};
    if (X509_cmp(peer.get(), target.expected->leaf()) == 0) return {true, ""};
    tls::BioPtr text(BIO_new(BIO_s_mem()));
    i2a_ASN1_INTEGER(text.get(), X509_get0_serialNumber(peer.get()));
    char serial[64];
    const int length = BIO_read(text.get(), serial, sizeof serial);
    return {false, "serves serial " + std::string(serial, static_cast<std::size_t>(std::max(length, 0))) + ", not " +
                       target.expected->serial()};
  } catch (const ProbeFailed& failed) {
    return {false, failed.what()};
  }
}

Prober::Prober(Log& log, TargetsOf targets, listeners::OwnVisits* visits)
    : log_(log), targets_(std::move(targets)), visits_(visits), thread_([this](std::stop_token stop) { run(stop); }) {}

Prober::~Prober() = default;

void Prober::request(const std::string& listener) {
  {
    std::lock_guard lock(mutex_);
    wanted_.insert(listener);
  }
  wake_.notify_one();
}

void Prober::run(std::stop_token stop) {
  while (!stop.stop_requested()) {
    std::string next;
    {
      std::unique_lock lock(mutex_);
      if (!wake_.wait(lock, stop, [this] { return !wanted_.empty(); })) return;
      next = *wanted_.begin();
      wanted_.erase(wanted_.begin());
    }
    const std::size_t handshakes = probe(next, stop);
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, stop, pauseFor * handshakes, [] { return false; });
  }
}

std::size_t Prober::probe(const std::string& listener, std::stop_token stop) {
  // A listener may be busy, or swap again while we look: three looks at a name before it is an error, and each time at
  // what it should be then.
  using What = std::pair<std::string, std::string>;  // name and key type
  const auto whatOf = [](const ProbeTarget& target) { return What(target.serverName, target.expected->keyTypeName()); };
  const std::uint64_t choice = ++turn_;
  std::set<What> seen;
  std::size_t handshakes = 0;
  std::string serials, error;
  for (int attempt = 0; attempt < 3 && !stop.stop_requested(); ++attempt) {
    error.clear();
    for (const ProbeTarget& target : targets_(listener, choice)) {
      if (stop.stop_requested()) return handshakes;
      if (seen.contains(whatOf(target))) continue;
      const ProbeResult one = probeOnce(target, std::chrono::seconds(5), visits_);
      ++handshakes;
      if (one.served) {
        seen.insert(whatOf(target));
        if (serials.size() < 200) serials += (serials.empty() ? "" : ",") + target.expected->serial();
      } else {
        error = target.serverName + ", " + target.expected->keyTypeName() + ": " + one.words;
      }
    }
    if (error.empty()) {
      if (!seen.empty())
        log_.debug("tls.probe.ok", {{"listener", listener}, {"serial", serials}, {"handshakes", seen.size()}});
      return handshakes;
    }
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, stop, std::chrono::milliseconds(500 << attempt), [] { return false; });
  }
  if (stop.stop_requested()) return handshakes;
  ++failures_;
  log_.error("tls.probe.failed", {{"listener", listener}, {"error", error}});
  return handshakes;
}

}  // namespace postern::server
