// FileWatch: says when some files may have changed, however they are changed: written in place, renamed over, or behind
// a symbolic link that flips, on the file's own name or on any folder on the way to it (certbot, Kubernetes), or in a
// folder that is put into the place of another, at any height.
//
// One thread of its own. It listens to the folders (inotify) and waits until they have been quiet for a moment, so that
// a key and its chain, written one after the other, are one change. Beside that it speaks up once a minute, for file
// systems that tell nothing (NFS), and for folders that cannot be listened to, which is said in the log once. Whoever
// is told looks for himself whether anything has changed.
#pragma once

#include <chrono>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/log.h"

namespace postern::tls {

class FileWatch {
 public:
  struct Times {
    std::chrono::milliseconds quiet{500};      // since the last sign of a change
    std::chrono::milliseconds longest{5'000};  // somebody who never pauses is not waited for any longer
    std::chrono::milliseconds poll{60'000};
  };
  // `look` is called on the watch's thread, and may block. The log outlives the watch. Throws SystemError.
  FileWatch(Log& log, std::function<void()> look, Times times);
  ~FileWatch();
  FileWatch(const FileWatch&) = delete;
  FileWatch& operator=(const FileWatch&) = delete;

  // Exactly these, absolute paths, from now on; they need not exist. `look` is called once they are listened to.
  void watch(std::vector<std::string> files);

 private:
  void run(std::stop_token stop);

  Log& log_;
  const std::function<void()> look_;
  const Times times_;
  const int wake_;  // eventfd: the files are others, or the end has come
  std::mutex mutex_;
  std::vector<std::string> files_;
  bool others_ = false;
  std::jthread thread_;  // starts with the first files
};

}  // namespace postern::tls
