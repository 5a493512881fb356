// Channel: one accepted socket, first raw, then a stream of bytes in the clear or through TLS.
//
// Everything happens on the loop of its event_base. It owns the descriptor and, once there is one, the SSL. Its watcher
// is told what happens, never from inside one of the channel's own functions, and never after the channel is gone; the
// watcher must not destroy the channel inside such a call.
//
// One registration with the kernel, for reading, lasts from the first wait to the end; writing is waited for only while
// the kernel takes no more. OpenSSL reads through a BIO of ours, as much as the kernel has, and writes into output_. So
// it never waits for writing, and what is written in one turn of the loop (a ticket and a greeting, a last reply and
// its close_notify) leaves in one system call.
#pragma once

#include <openssl/ssl.h>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "listeners/byte_queue.h"
#include "listeners/libevent.h"
#include "tls/openssl.h"

namespace postern::listeners {

class Channel {
 public:
  struct Watcher {
    virtual void readable() noexcept = 0;   // the raw socket has bytes, or ended: again and again until they are taken
    virtual void received() noexcept = 0;   // input() has more
    virtual void sent() noexcept = 0;       // of what had to wait, no more than lowWater is left
    virtual void encrypted() noexcept = 0;  // openTls(): the handshake is done
    virtual void ended() noexcept = 0;      // the peer will send no more
    virtual void broken(const std::string& reason) noexcept = 0;  // nothing goes in either direction any more

   protected:
    ~Watcher() = default;
  };

  // Takes the descriptor over. On any thread.
  Channel(event_base* base, int descriptor, Watcher& watcher);
  ~Channel();
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  int descriptor() const { return descriptor_; }
  SSL* ssl() const { return ssl_.get(); }  // null before openTls()

  // The raw socket: calls readable(). False when memory ends.
  bool awaitBytes();
  // Reads and forgets what the kernel has; false at the end of the stream.
  bool discardFromKernel();

  bool openPlain();
  // From plain back to the raw socket, all of the output being written; input that was read is forgotten.
  void leavePlain();
  // Handshake as a server. Callers wait for the first byte before, so that silent peers cost no SSL.
  bool openTls(tls::SslPtr ssl);

  // What has been read; valid until consume().
  std::string_view input(std::size_t atMost) const { return input_.view().substr(0, atMost); }
  std::size_t inputSize() const { return input_.size(); }
  void consume(std::size_t bytes) { input_.drop(bytes); }
  void setReading(bool on);

  // Sent when the loop's turn ends, or sooner: more than this is never held back on purpose.
  static constexpr std::size_t lowWater = 32 * 1024;
  void write(std::string_view bytes);
  // Sends what can be sent now. True when all of it was; otherwise sent() is called in time, or broken().
  bool flush() { return flush(0); }
  // As bytes on the wire.
  std::size_t unsent() const { return output_.size(); }

  // The orderly end, behind all of the output: close_notify where there is TLS, then FIN; then the socket is raw. False
  // when the kernel does not take everything yet: to be called again at sent() when nothing is unsent.
  bool sayGoodbye();

 private:
  enum class Stage { Raw, Plain, Handshake, Tls };
  enum class Read { More, Nothing, End, Broken };

  static void onReadable(evutil_socket_t, short, void* self) noexcept;
  static void onWritable(evutil_socket_t, short, void* self) noexcept;
  static void onLater(evutil_socket_t, short, void* self) noexcept;
  static BIO_METHOD* wire();
  static int readWire(BIO* bio, char* bytes, int size) noexcept;
  static int writeWire(BIO* bio, const char* bytes, int size) noexcept;
  static long controlWire(BIO* bio, int command, long, void*) noexcept;

  void proceed();
  void drain();
  void shakeHands();
  void readStream();
  Read readPlain();
  Read readTls();
  Read whyNothing(int result);
  std::string reasonOfRead();
  void breakDown(const std::string& reason);
  bool flush(int flags);
  void writeFailed(int error);
  void endTurn();
  void later();
  bool watch(bool on);

  event_base* const base_;
  const int descriptor_;
  Watcher& watcher_;
  Event readable_;
  std::unique_ptr<Event> writable_;  // made when the kernel takes no more for the first time
  std::unique_ptr<Event> later_;     // made when something cannot be done at once for the first time
  tls::SslPtr ssl_;
  ByteQueue input_, output_;
  int readError_ = 0, writeError_ = 0;  // errno
  Stage stage_ = Stage::Raw;
  bool watching_ = false;   // readable_ is registered
  bool inTurn_ = false;     // the watcher is being called: output waits for the end of that
  bool blocked_ = false;    // the kernel takes no more output; writable_ is registered
  bool drained_ = false;    // this turn has read all that the kernel had
  bool starved_ = false;    // OpenSSL asked for more than there was
  bool kernelEnd_ = false;  // the peer's FIN was read
};

}  // namespace postern::listeners
