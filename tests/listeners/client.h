// Client: a blocking TCP client with an optional TLS layer, for tests on loopback.
//
// Every wait ends after a minute, as a failure. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "tls/openssl.h"

namespace postern::listeners::testing {

class Client {
 public:
  // `bound` is called with the socket, bound to `from`, before it connects.
  explicit Client(std::uint16_t port, const std::string& from = "", const std::function<void(int socket)>& bound = {});
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void send(std::string_view bytes);
  // Up to and with `end`; shorter when the stream ends or time is up before.
  std::string readTo(std::string_view end = "\n");
  // Up to the end of the stream. Sets endedWell().
  std::string readAll();
  // readAll() after its own half of the connection was closed.
  std::string closeAndReadAll();
  // Whether nothing comes within that time.
  bool staysSilent(int milliseconds);
  // The last read met a regular end: FIN in the clear, close_notify with TLS.
  bool endedWell() const { return endedWell_; }

  // A handshake; false when it failed.
  bool handshake(const std::string& serverName = "mail.example.org", SSL_SESSION* session = nullptr,
                 const std::vector<unsigned char>& alpn = {});
  SSL* ssl() { return ssl_.get(); }
  bool resumed() const { return SSL_session_reused(ssl_.get()) == 1; }
  void sayCloseNotify();
  // What one call gets from the kernel, sealed or not; as recv() has it.
  long receiveRaw(char* bytes, std::size_t size);
  // As a crash or a reset line would.
  void reset();
  int descriptor() const { return descriptor_; }
  std::uint16_t ownPort() const;

 private:
  long receive(char* bytes, std::size_t size);

  int descriptor_;
  tls::SslCtxPtr context_;
  tls::SslPtr ssl_;
  std::string buffer_;
  bool endedWell_ = false;
};

// The first bytes of a ClientHello, as one would see them on the wire.
std::string someClientHello();

}  // namespace postern::listeners::testing
