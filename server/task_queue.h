// TaskQueue: functions that other threads hand to main's thread, with a descriptor to poll.
#pragma once

#include <functional>
#include <mutex>
#include <vector>

namespace postern::server {

class TaskQueue {
 public:
  TaskQueue();  // throws SystemError
  ~TaskQueue();
  TaskQueue(const TaskQueue&) = delete;
  TaskQueue& operator=(const TaskQueue&) = delete;

  void post(std::function<void()> task);  // any thread
  int descriptor() const { return descriptor_; }
  void run();  // what was posted so far, in its order

 private:
  int descriptor_;  // eventfd
  std::mutex mutex_;
  std::vector<std::function<void()>> tasks_;
};

}  // namespace postern::server
