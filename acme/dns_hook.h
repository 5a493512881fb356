// DnsHook: sets TXT records by a program of the administrator's: `HOOK present|cleanup NAME VALUE`.
//
// The program is run without a shell, in a process group of its own, with an empty standard input and no more of the
// environment than PATH and POSTERN_*. What it writes goes to the log, a line at a time. It is killed with its group
// after a minute, or when the order is stopped. Any thread; each call blocks until the program has ended.
#pragma once

#include <map>
#include <string>

#include "acme/dns_method.h"
#include "base/clock.h"
#include "base/log.h"

namespace postern::acme {

class DnsHook : public DnsMethod {
 public:
  // `environment` is what the program finds besides PATH.
  DnsHook(std::string program, std::map<std::string, std::string> environment, Log& log,
          Duration longest = std::chrono::minutes(1));

  void add(const TxtRecord& record, std::stop_token stop) override;
  void remove(const TxtRecord& record, std::stop_token stop) override;

 private:
  void run(const std::string& action, const TxtRecord& record, Duration afterStop, const std::stop_token& stop);

  const std::string program_;
  const std::map<std::string, std::string> environment_;
  Log& log_;
  const Duration longest_;
};

}  // namespace postern::acme
