// bench_reference: the server that every ratio of the bench refers to. One thread, epoll, OpenSSL with the library's
// defaults (two tickets, AES-256 first), the dialogues of the load generator, and nothing else: no time-outs, no
// limits, no log, every answer small enough to be written at once.
//
//   bench_reference CERTIFICATE KEY DIALOGUE:PORT...
//
// A dialogue "plain" is IMAP without TLS: what stands behind peers that can only relay.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <iostream>
#include <stdexcept>
#include <string>

#include "tests/bench/dialogue.h"
#include "tls/openssl.h"

namespace postern::bench {
namespace {

struct Watched {
  int fd = -1;
  std::string_view dialogue;
  bool listens = false;
};

struct Client : Watched {
  tls::SslPtr ssl;  // null in the clear
  bool shaking = false;
  std::string input;
};

class Reference {
 public:
  Reference(const char* certificate, const char* key) : context_(SSL_CTX_new(TLS_server_method())) {
    if (epoll_ < 0 || !context_ || SSL_CTX_use_certificate_chain_file(context_.get(), certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(context_.get(), key, SSL_FILETYPE_PEM) != 1)
      tls::fail("cannot use the certificate");
  }

  void listen(const std::string& where) {
    const auto colon = where.find(':');
    if (colon == std::string::npos) throw std::runtime_error("DIALOGUE:PORT is expected, not " + where);
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    const int one = 1;
    ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<std::uint16_t>(std::stoi(where.substr(colon + 1))));
    if (::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 || ::listen(fd, 1024) != 0)
      throw std::runtime_error("cannot listen on " + where + ": " + std::strerror(errno));
    const std::string name = where.substr(0, colon);
    // For the life of the process.
    watch(new Watched{fd, name == "plain" ? plain : dialogueNamed(name).name, true});
  }

  [[noreturn]] void serve() {
    std::array<epoll_event, 256> events;
    for (;;) {
      const int count = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), -1);
      for (int i = 0; i < count; ++i) {
        auto* const watched = static_cast<Watched*>(events[static_cast<std::size_t>(i)].data.ptr);
        if (watched->listens) {
          accept(*watched);
        } else {
          auto* const client = static_cast<Client*>(watched);
          if (!carryOn(*client)) end(client);
        }
      }
    }
  }

 private:
  static constexpr std::string_view plain = "plain";

  void watch(Watched* watched) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = watched;
    ::epoll_ctl(epoll_, EPOLL_CTL_ADD, watched->fd, &event);
  }

  void accept(const Watched& listener) {
    for (;;) {
      const int fd = ::accept4(listener.fd, nullptr, nullptr, SOCK_NONBLOCK);
      if (fd < 0) return;
      const int one = 1;
      ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
      auto* const client = new Client;
      client->fd = fd;
      client->dialogue = listener.dialogue;
      watch(client);
      if (listener.dialogue == "imaps") {
        beginTls(*client);
      } else {
        write(*client, greetingOf(client->dialogue));
      }
    }
  }

  static void end(Client* client) {
    if (client->ssl) SSL_shutdown(client->ssl.get());
    ERR_clear_error();
    ::close(client->fd);
    delete client;
  }

  void beginTls(Client& client) {
    client.ssl.reset(SSL_new(context_.get()));
    SSL_set_fd(client.ssl.get(), client.fd);
    SSL_set_accept_state(client.ssl.get());
    client.shaking = true;
    client.input.clear();
  }

  static bool write(Client& client, std::string_view text) {
    if (!client.ssl)
      return ::send(client.fd, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
    return SSL_write(client.ssl.get(), text.data(), static_cast<int>(text.size())) == static_cast<int>(text.size());
  }

  // What the socket has, until it has no more. False: the connection is over.
  bool carryOn(Client& client) {
    if (client.shaking) {
      const int result = SSL_do_handshake(client.ssl.get());
      if (result != 1) return SSL_get_error(client.ssl.get(), result) == SSL_ERROR_WANT_READ;
      client.shaking = false;
      if (client.dialogue == "imaps" && !write(client, greetingOf(client.dialogue))) return false;
    }
    std::array<char, 4096> bytes;
    for (;;) {
      if (client.ssl) {
        const int got = SSL_read(client.ssl.get(), bytes.data(), static_cast<int>(bytes.size()));
        if (got <= 0) return SSL_get_error(client.ssl.get(), got) == SSL_ERROR_WANT_READ;
        client.input.append(bytes.data(), static_cast<std::size_t>(got));
      } else {
        const auto got = ::recv(client.fd, bytes.data(), bytes.size(), 0);
        if (got <= 0) return got < 0 && errno == EAGAIN;
        client.input.append(bytes.data(), static_cast<std::size_t>(got));
      }
      if (!answer(client)) return false;
      if (client.shaking) return true;
    }
  }

  bool answer(Client& client) {
    for (std::size_t end; (end = client.input.find("\r\n")) != std::string::npos;) {
      const std::string line = client.input.substr(0, end);
      client.input.erase(0, end + 2);
      const Reply reply = replyTo(client.dialogue, line, client.ssl != nullptr);
      if (!write(client, reply.text) || reply.then == Then::Close) return false;
      if (reply.then == Then::StartTls) {
        beginTls(client);
        return true;
      }
    }
    return true;
  }

  const int epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
  const tls::SslCtxPtr context_;
};

}  // namespace
}  // namespace postern::bench

int main(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);
  if (argc < 4) {
    std::cerr << "usage: bench_reference CERTIFICATE KEY DIALOGUE:PORT..." << std::endl;
    return 2;
  }
  try {
    postern::bench::Reference server(argv[1], argv[2]);
    for (int i = 3; i < argc; ++i) server.listen(argv[i]);
    std::cout << "listening" << std::endl;
    server.serve();
  } catch (const std::exception& error) {
    std::cerr << "bench_reference: " << error.what() << std::endl;
    return 1;
  }
}
