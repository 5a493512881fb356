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
  // `what` is waited for, in words: "the authorization of mail.example.org". `begun`: when the request went out that
  // the CA works on. At most `longest` in all, from now.
  Polling(Clock& clock, std::string what, Time begun, Duration longest = std::chrono::minutes(5));

  // Waits until it is time to look again. Until `told`, where Retry-After told it, and at least a second; for its sake
  // the bound is doubled. One beyond that is looked past, once a minute: a CA that suggests a day (ZeroSSL does for
  // each authorization that it has not decided at once) is done in minutes, and what it looks for is up now. Else until
  // 50, 150 and 400 ms after the beginning, as far as these are still to come, and then for pauses that grow from 1 to
  // 10 s. Throws Stopped; Error postern:timeout when the bound would be passed, at once and not after waiting in vain.
  void pause(std::optional<Time> told, std::stop_token stop);

  // To be called with the error of a look. Rethrows it unless it may pass by itself: no answer or 5xx, at most three in
  // a row.
  void forgive(const Error& error);
  void looked() { failures_ = 0; }

 private:
  Duration next(Time now);

  Clock& clock_;
  const std::string what_;
  const Time begun_;
  const Duration longest_;
  const Time since_;
  Time until_;
  std::size_t early_ = 0, late_ = 0;  // looks at fixed times, and after growing pauses
  int failures_ = 0;
};

// No answer, 5xx, or one that was cut short: the request may have had its effect, and asking again may help.
bool mayPass(const Problem& problem);

}  // namespace postern::acme
