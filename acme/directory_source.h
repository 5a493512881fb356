// DirectorySource: a CA's directory (RFC 8555 section 7.1.1), fetched once and kept for a day.
//
// Any thread. While one thread fetches, others wait for its answer, and share its failure: a CA that hangs costs one
// time-out, not one for each order.
#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>

#include "acme/error.h"
#include "acme/objects.h"
#include "acme/pace.h"
#include "acme/transport.h"
#include "base/clock.h"
#include "base/log.h"

namespace postern::acme {

class DirectorySource {
 public:
  // The references must outlive this. The URL of the terms of service is logged once per value.
  DirectorySource(std::string url, Transport& transport, const Clock& clock, Log& log);

  // Throws Error or Stopped. The fetch, where there is one, counts with `pace`.
  Directory get(std::stop_token stop, Pace* pace = nullptr);
  // The next get() fetches anew: a URL of the directory answered that there is nothing there.
  void forget();

 private:
  bool fresh() const;
  Directory fetch(std::stop_token stop, Pace* pace);

  const std::string url_;
  Transport& transport_;
  const Clock& clock_;
  Log& log_;
  std::mutex mutex_;
  std::condition_variable_any ended_;  // of a fetch
  bool fetching_ = false;
  std::optional<Directory> directory_;
  std::optional<Error> failure_;  // of the fetch that ended last
  Time fetchedAt_{};
  std::string loggedTerms_;
};

}  // namespace postern::acme
