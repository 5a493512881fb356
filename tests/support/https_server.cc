#include "tests/support/https_server.h"

#include <netinet/in.h>
#include <openssl/pem.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <stdexcept>
#include <utility>

namespace postern::test {
namespace {

void must(bool done, const char* what) {
  if (!done) throw std::runtime_error(std::string("https server: cannot ") + what);
}

tls::SslCtxPtr contextFor(const std::string& chain, EVP_PKEY* key) {
  tls::SslCtxPtr context(SSL_CTX_new(TLS_server_method()));
  tls::BioPtr in(BIO_new_mem_buf(chain.data(), static_cast<int>(chain.size())));
  tls::CertPtr leaf(PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr));
  must(leaf && SSL_CTX_use_certificate(context.get(), leaf.get()) == 1, "use its certificate");
  while (X509* next = PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr)) {
    SSL_CTX_add_extra_chain_cert(context.get(), next);
  }
  tls::drainErrors();
  must(SSL_CTX_use_PrivateKey(context.get(), key) == 1, "use its key");
  return context;
}

}  // namespace

HttpsServer::HttpsServer(const std::string& chain, EVP_PKEY* key, Handler handler)
    : context_(contextFor(chain, key)), handler_(std::move(handler)) {
  listening_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  must(listening_ >= 0 && bind(listening_, reinterpret_cast<sockaddr*>(&address), length) == 0 &&
           listen(listening_, 16) == 0 && getsockname(listening_, reinterpret_cast<sockaddr*>(&address), &length) == 0,
       "listen");
  port_ = ntohs(address.sin_port);
  accepting_ = std::thread([this] { acceptAll(); });
}

HttpsServer::~HttpsServer() {
  {
    std::lock_guard lock(mutex_);
    ending_ = true;
    shutdown(listening_, SHUT_RDWR);
    for (int descriptor : open_) shutdown(descriptor, SHUT_RDWR);
  }
  accepting_.join();
  for (std::thread& thread : threads_) thread.join();
  close(listening_);
}

std::string HttpsServer::url(const std::string& path) const {
  return "https://localhost:" + std::to_string(port_) + path;
}

void HttpsServer::acceptAll() {
  for (;;) {
    int descriptor = accept4(listening_, nullptr, nullptr, SOCK_CLOEXEC);
    if (descriptor < 0) return;
    std::lock_guard lock(mutex_);
    if (ending_) {
      close(descriptor);
      return;
    }
    open_.push_back(descriptor);
    threads_.emplace_back([this, descriptor] { serve(descriptor); });
  }
}

void HttpsServer::serve(int descriptor) {
  tls::SslPtr ssl(SSL_new(context_.get()));
  SSL_set_fd(ssl.get(), descriptor);
  if (SSL_accept(ssl.get()) == 1) {
    ++connections_;
    std::string buffer;
    while (answerOne(ssl.get(), buffer)) {
    }
    SSL_shutdown(ssl.get());
  }
  tls::drainErrors();
  std::lock_guard lock(mutex_);
  open_.erase(std::find(open_.begin(), open_.end(), descriptor));
  close(descriptor);
}

// False when the connection is at its end.
bool HttpsServer::answerOne(SSL* ssl, std::string& buffer) {
  auto more = [&] {
    std::array<char, 16384> bytes{};
    int read = SSL_read(ssl, bytes.data(), static_cast<int>(bytes.size()));
    if (read > 0) buffer.append(bytes.data(), static_cast<std::size_t>(read));
    return read > 0;
  };
  std::size_t end = 0;
  while ((end = buffer.find("\r\n\r\n")) == std::string::npos) {
    if (!more()) return false;
  }
  RawRequest request;
  request.head = buffer.substr(0, end + 2);
  std::size_t length = 0;
  if (std::size_t at = request.head.find("Content-Length: "); at != std::string::npos) {
    length = std::strtoul(request.head.c_str() + at + 16, nullptr, 10);
  }
  while (buffer.size() < end + 4 + length) {
    if (!more()) return false;
  }
  request.body = buffer.substr(end + 4, length);
  buffer.erase(0, end + 4 + length);
  ++requests_;
  std::string answer = handler_(request);
  for (std::size_t sent = 0; sent < answer.size();) {
    int written =
        SSL_write(ssl, answer.data() + sent, static_cast<int>(std::min<std::size_t>(answer.size() - sent, 16384)));
    if (written <= 0) return false;
    sent += static_cast<std::size_t>(written);
  }
  return !answer.empty() && answer.find("\r\nConnection: close\r\n") == std::string::npos;
}

std::string httpAnswer(const std::string& status, const std::string& body, const std::string& headers) {
  return "HTTP/1.1 " + status + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" + headers + "\r\n" + body;
}

}  // namespace postern::test
