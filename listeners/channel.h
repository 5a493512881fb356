// Channel: one accepted socket, first raw, then a stream of bytes in the clear or through TLS.
//
// Everything happens on the loop of its event_base. It owns the descriptor and, once there is one, the SSL. Its watcher
// is told what happens, never from inside one of the channel's own functions (callbacks are deferred), and never after
// the channel is gone; the watcher must not destroy the channel inside such a call.
#pragma once

#include <openssl/ssl.h>

#include <cstddef>
#include <string>
#include <string_view>

#include "listeners/libevent.h"
#include "tls/openssl.h"

namespace postern::listeners {

class Channel {
 public:
  struct Watcher {
    virtual void readable() noexcept = 0;                         // awaitBytes(): the raw socket has bytes, or ended
    virtual void received() noexcept = 0;                         // input() has more
    virtual void sent() noexcept = 0;                             // something was written, or can be again
    virtual void encrypted() noexcept = 0;                        // openTls(): the handshake is done
    virtual void ended() noexcept = 0;                            // the peer will send no more
    virtual void broken(const std::string& reason) noexcept = 0;  // nothing goes in either direction any more

   protected:
    ~Watcher() = default;
  };

  // Takes the descriptor over.
  Channel(event_base* base, int descriptor, Watcher& watcher);
  ~Channel();
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  int descriptor() const { return descriptor_; }
  SSL* ssl() const { return ssl_; }  // null before openTls()

  // The raw socket: calls readable() once. False when memory ends.
  bool awaitBytes();
  // Reads and forgets what the kernel has; false at the end of the stream.
  bool discardFromKernel();

  bool openPlain();
  // From plain back to the raw socket, all of the output being written; input that was read is forgotten.
  void leavePlain();
  // Handshake as a server. Callers wait for the first byte before, so that silent peers cost no SSL.
  bool openTls(tls::SslPtr ssl);

  // What has been read; valid until consume().
  std::string_view input(std::size_t atMost);
  std::size_t inputSize() const;
  void consume(std::size_t bytes);
  void setReading(bool on);

  // sent() is called as often as something was written and no more than this is left.
  static constexpr std::size_t lowWater = 32 * 1024;
  void write(std::string_view bytes);
  std::size_t unsent() const;

  // The orderly end, all of the output being written: close_notify where there is TLS, then FIN. False when the socket
  // cannot take the close_notify yet: sent() is called when it can.
  bool sayGoodbye();

 private:
  static void onReady(evutil_socket_t, short what, void* self) noexcept;
  static void onRead(bufferevent*, void* self) noexcept;
  static void onWrite(bufferevent*, void* self) noexcept;
  static void onEvent(bufferevent*, short what, void* self) noexcept;
  void happened(short what);
  std::string reasonOf(short what);
  bool await(short what);
  bool adopt(BufferEventPtr stream);

  event_base* const base_;
  const int descriptor_;
  Watcher& watcher_;
  EventPtr ready_;
  BufferEventPtr stream_;  // once there, it closes the descriptor and frees the SSL
  SSL* ssl_ = nullptr;     // stream_'s
  bool reading_ = false;
};

}  // namespace postern::listeners
