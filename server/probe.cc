#include "server/probe.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>

#include "base/error.h"
#include "tls/openssl.h"

namespace postern::server {

namespace {

struct ProbeFailed : std::runtime_error {
  using runtime_error::runtime_error;
};

class Connected {
 public:
  Connected(const listeners::Address& address, std::chrono::milliseconds timeout) {
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
  int descriptor_ = -1;
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
                                      const std::vector<tls::CertifiedKeyRef>& served) {
  ProbeTarget target{settings.id, bound,   settings.protocol, settings.tls, settings.hostnames.front(),
                     false,       nullptr, served.size() > 1};
  if (bound.host == "::") target.address.host = "::1";
  if (bound.host == "0.0.0.0") target.address.host = "127.0.0.1";
  const auto own = listeners::parseIp(target.address.host);
  for (const auto& network : settings.trustedNetworks) {
    if (own && network.contains(*own)) target.proxyHeader = true;
  }
  std::vector<ProbeTarget> targets(served.size(), target);
  for (std::size_t i = 0; i < served.size(); ++i) targets[i].expected = served[i];
  return targets;
}

ProbeResult probeOnce(const ProbeTarget& target, std::chrono::milliseconds timeout) {
  try {
    Connected connection(target.address, timeout);
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

Prober::Prober(Log& log, TargetsOf targets)
    : log_(log), targets_(std::move(targets)), thread_([this](std::stop_token stop) { run(stop); }) {}

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
    probe(next, stop);
  }
}

void Prober::probe(const std::string& listener, std::stop_token stop) {
  // A listener may be at its limit of connections, or swap again while we look: three looks before it is an error.
  ProbeResult result;
  for (int attempt = 0; attempt < 3 && !stop.stop_requested(); ++attempt) {
    result = {true, ""};
    std::string serials;
    for (const ProbeTarget& target : targets_(listener)) {
      const ProbeResult one = probeOnce(target);
      if (!one.served) result = {false, target.expected->keyTypeName() + ": " + one.words};
      serials += (serials.empty() ? "" : ",") + target.expected->serial();
    }
    if (result.served) {
      if (!serials.empty()) log_.debug("tls.probe.ok", {{"listener", listener}, {"serial", serials}});
      return;
    }
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, stop, std::chrono::milliseconds(500 << attempt), [] { return false; });
  }
  if (stop.stop_requested()) return;
  ++failures_;
  log_.error("tls.probe.failed", {{"listener", listener}, {"error", result.words}});
}

}  // namespace postern::server
