// EventHook: `events.hook`: a program that is called for what an administrator wants to be told of at once.
//
// Each event is one call, `<program> renewed|failing|expiring|expired`, with one JSON object on its standard input;
// what the program writes goes into the log. Calls are made one after the other, in the order of the events, by one
// thread, and each ends within a minute. tell() and configure() may be called by any thread and never block: events
// wait in a queue, and where a thousand wait already the next are counted and dropped, with an error in the log.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "acme/manager.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"

namespace postern::server {

class EventHook {
 public:
  // Clock and log outlive the hook. `limit` is what a call may take.
  EventHook(const Clock& clock, Log& log, Duration limit = std::chrono::seconds(60));
  // Gives what is waiting a second and a half, then ends the call under way; gone within two seconds.
  ~EventHook();
  EventHook(const EventHook&) = delete;
  EventHook& operator=(const EventHook&) = delete;

  void configure(const std::string& program);  // for the next call; "": none is made
  void tell(const acme::Event& event);

 private:
  struct Waiting {
    std::string kind, names, json;
  };
  void run(std::stop_token stop);
  void call(const std::string& program, const Waiting& event, std::stop_token stop);

  const Clock& clock_;
  Log& log_;
  const Duration limit_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::string program_;
  std::deque<Waiting> waiting_;
  std::size_t dropped_ = 0;
  bool calling_ = false;
  std::jthread thread_;  // starts with the first event
};

// What the program reads. Every member is always there; what is unknown is null.
Json eventJson(const acme::Event& event, Time now);

}  // namespace postern::server
