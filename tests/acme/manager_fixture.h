// A manager with two fake CAs, a cache and a clock in the hand, for the tests of its life.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <thread>

#include "acme/manager.h"
#include "acme/storage.h"
#include "tests/support/fake_ca.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temporary_folder.h"

namespace postern::acme {

using namespace std::chrono_literals;
using test::Failure;
using Names = std::vector<std::string>;
namespace fs = std::filesystem;

constexpr auto day = 24h;

class ManagerTest : public ::testing::Test {
 protected:
  ManagerTest() {
    LogSettings settings;
    settings.level = LogLevel::Debug;
    settings.file = folder / "log";
    if (std::string failed = log.configure(settings); !failed.empty()) throw std::runtime_error(failed);
    restart();
  }
  ~ManagerTest() override {
    ca.release();
    otherCa.release();
  }

  Provider provider(const std::string& name = "main") const {
    Provider made;
    made.name = name;
    made.directory = name == "other" ? otherCa.directoryUrl() : ca.directoryUrl();
    made.cache = folder / "cache";
    made.contact = {"mailto:postmaster@example.org"};
    return made;
  }
  Plan wanting(const std::vector<Names>& certificates) const {
    Plan plan;
    plan.providers = {provider(), provider("other")};
    for (const auto& names : certificates) plan.certificates.push_back({"main", names});
    return plan;
  }
  static tls::CertificateId id(const Names& names, const std::string& provider = "main") {
    return tls::acmeCertificate(provider, names);
  }

  // As the process would end and begin again: nothing but the disk stays.
  void restart() {
    manager.reset();
    store = std::make_unique<tls::CertificateStore>();
    manager = std::make_unique<Manager>(
        Manager::Parts{clock, log, *store, challenges, httpChallenges, test::FakeCa::factory({&ca, &otherCa}), {}});
  }
  void run(const Plan& plan) {
    manager->apply(plan);
    manager->start();
  }
  bool waitFor(const Names& names, const std::string& provider = "main") {
    return manager->waitFor({id(names, provider)}, {});
  }
  // Looks until it is so, or two minutes have gone by.
  static bool eventually(const std::function<bool()>& isSo) {
    for (const auto end = std::chrono::steady_clock::now() + 2min; std::chrono::steady_clock::now() < end;) {
      if (isSo()) return true;
      std::this_thread::sleep_for(2ms);
    }
    return isSo();
  }
  // When this returns, the deciding thread has looked at every certificate of `plan`: one of another provider that was
  // not there before has come.
  void letDecide(Plan plan) {
    const Names probe{"probe" + std::to_string(++probes) + ".example.org"};
    plan.certificates.push_back({"other", probe});
    run(plan);
    ASSERT_TRUE(waitFor(probe, "other"));
  }
  void pass(Duration time) {
    clock.advance(time);
    manager->wake();
  }

  tls::CertifiedKeyRef served(const Names& names, const std::string& provider = "main") const {
    return store->current()->find(id(names, provider));
  }
  CertificateStatus statusOf(const Names& names, const std::string& provider = "main") const {
    for (auto& each : manager->status().certificates) {
      if (each.id == id(names, provider)) return each;
    }
    ADD_FAILURE() << names.front() << " is not in the status";
    return {};
  }
  fs::path folderOf(const Names& names) const {
    return folder / "cache" / directoryFolderName(ca.directoryUrl()) / "certificates" / nameSetHash(names) /
           names.front() / "ecdsa-p256";
  }
  std::string logged() const { return support::contentOf(folder / "log"); }
  int timesLogged(const std::string& part) const {
    int count = 0;
    const std::string text = logged();
    for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
    return count;
  }

  const Names mail{"mail.example.org"}, imap{"imap.example.org", "pop.example.org"};
  support::TemporaryFolder folder;
  testing::FakeClock clock;
  Log log;
  tls::AlpnChallenges challenges;
  HttpChallenges httpChallenges;
  test::FakeCa ca{clock, &challenges}, otherCa{clock, &challenges, "other.test"};
  std::unique_ptr<tls::CertificateStore> store;
  std::unique_ptr<Manager> manager;
  int probes = 0;
};

}  // namespace postern::acme
