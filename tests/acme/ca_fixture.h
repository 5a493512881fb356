// What the tests of the order have in common: a fake CA, its clock, a client with an account, and a journal in memory.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "acme/client.h"
#include "acme/issuance.h"
#include "acme/journal.h"
#include "acme/tls_alpn_solver.h"
#include "base/log.h"
#include "tests/support/fake_ca.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temporary_folder.h"
#include "tls/alpn_challenges.h"

namespace postern::acme {

struct JournalInMemory : Journal {
  std::optional<std::string> order;
  std::optional<Time> since;
  int remembered = 0, forgotten = 0;
  std::optional<std::string> pendingOrder() const override { return order; }
  std::optional<Time> pendingSince() const override { return since; }
  void rememberOrder(const std::string& url, Time now) override {
    order = url;
    since = now;
    ++remembered;
  }
  void forgetOrder() override {
    order.reset();
    ++forgotten;
  }
};

class WithCa : public ::testing::Test {
 protected:
  static LogSettings toFile(const std::string& file) {
    LogSettings settings;
    settings.level = LogLevel::Debug;
    settings.file = file;
    return settings;
  }
  WithCa() {
    if (std::string failed = log.configure(toFile(folder / "log")); !failed.empty()) throw std::runtime_error(failed);
    useNewAccount();
  }

  void useNewAccount() {
    client.useAccount(tls::generateKey(tls::KeyType::EcdsaP256), "");
    client.newAccount({"mailto:postmaster@example.org"}, false, {}, {});
  }
  // After the CA's offers have changed: the client keeps its directory for a day.
  void readDirectoryAnew() {
    clock.advance(std::chrono::hours(25));
    client.directory({});
  }
  std::string logged() const { return support::contentOf(folder / "log"); }

  // The Error that `action` throws; a failure of the test when it throws none.
  template <class Action>
  static Error errorOf(Action action) {
    try {
      action();
    } catch (const Error& error) {
      return error;
    }
    ADD_FAILURE() << "no Error was thrown";
    return Error(Problem{});
  }

  support::TemporaryFolder folder;
  testing::FakeClock clock;
  Log log;
  tls::AlpnChallenges challenges;
  test::FakeCa ca{clock, &challenges};
  Client client{ca.directoryUrl(), ca, clock, log};
};

}  // namespace postern::acme
