// ControlSocket: the server's side of `postern status`, `reload`, `renew`, `revoke` and `account`: one JSON object a
// line each way (contract, section 5).
//
// Bound at the start, before rights are dropped; serve() starts its thread. Each client has a thread of its own, so a
// `renew --wait` holds up nobody; at most 32 at a time.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <functional>
#include <list>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>

#include "base/json.h"
#include "base/log.h"
#include "server/privileges.h"

namespace postern::server {

// What a client may do (contract: root and the run-as user all; the group status, reload and renew without force).
enum class Rights { None, Group, All };

// Answers one request. Any thread; may block until `stop`.
using ControlHandler = std::function<Json(const Json& request, Rights rights, std::stop_token stop)>;

class ControlSocket {
 public:
  // Binds `path`, owned by `owner` (else this process), mode 0660. A socket that is there already is replaced only when
  // connecting to it is refused. Throws SystemError, or PrivilegeError when another server answers there.
  ControlSocket(std::string path, const std::optional<Identity>& owner);
  ~ControlSocket();  // ends the clients' requests, closes and removes the socket
  ControlSocket(const ControlSocket&) = delete;
  ControlSocket& operator=(const ControlSocket&) = delete;

  void serve(ControlHandler handler, Log& log);
  const std::string& path() const { return path_; }

 private:
  struct Client {
    std::jthread thread;
    std::atomic<bool> done{false};
  };
  void accept(std::stop_token stop);
  void answer(int descriptor, std::stop_token stop);

  std::string path_;
  uid_t uid_;
  gid_t gid_;
  int descriptor_ = -1;
  dev_t device_ = 0;  // of the socket we made: another's is not removed at the end
  ino_t inode_ = 0;
  ControlHandler handler_;
  Log* log_ = nullptr;
  std::list<Client> clients_;  // of the accepting thread
  std::jthread thread_;
};

// The client's side: sends `request` to the server at `path` and waits for its answer. Throws SystemError or
// std::runtime_error with the remedy when nobody answers there, or not before `stop`.
Json askServer(const std::string& path, const Json& request, std::stop_token stop = {});

}  // namespace postern::server
