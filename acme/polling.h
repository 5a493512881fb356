// Polling: the pauses between two looks at a resource that the CA is working on, and the bound of them all.
//
// One waiting, one object; the thread that waits.
#pragma once

#include <optional>
#include <stop_token>
#include <string>

#include "acme/error.h"
#include "base/clock.h"

namespace postern::acme {

class Polling {
 public:
  // `what` is waited for, in words: "the authorization of mail.example.org". At most `longest` in all.
  Polling(Clock& clock, std::string what, Duration longest = std::chrono::minutes(5));

  // Waits until it is time to look again: until `told`, where Retry-After told it, else a pause that grows from 50 ms
  // to 10 s. Throws Stopped; Error postern:timeout when the bound would be passed, at once and not after waiting in
  // vain.
  void pause(std::optional<Time> told, std::stop_token stop);

  // To be called with the error of a look. Rethrows it unless it may pass by itself: no answer or 5xx, at most three in
  // a row.
  void forgive(const Error& error);
  void looked() { failures_ = 0; }

 private:
  Clock& clock_;
  const std::string what_;
  const Duration longest_;
  const Time until_;
  int pauses_ = 0, failures_ = 0;
};

}  // namespace postern::acme
