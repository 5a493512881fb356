// A CA, a cache, and what one can see of the cache between two lives.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "acme/cache_file.h"
#include "acme/storage.h"
#include "tests/crash/life.h"
#include "tests/support/fake_ca.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temporary_folder.h"
#include "tls/certified_key.h"

namespace postern::test {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

inline constexpr Duration renewalDue = 24h * 61;  // of a certificate of 90 days

class Scene : public ::testing::Test {
 protected:
  Scene() { newCa(); }

  void newCa() { ca = std::make_unique<FakeCa>(clock); }

  // With ARI: a window that is the first day of the second half of each lifetime, before any rule of ours.
  void offerWindows() const {
    ca->offerRenewalInfo(true);
    ca->suggestWindows([](const IssuedCertificate& issued) {
      const Time middle = issued.notBefore + (issued.notAfter - issued.notBefore) / 2;
      return RenewalWindow{middle, middle + 24h};
    });
  }

  Life life(const std::string& successorOf = "") const {
    Life made;
    made.cache = cache();
    made.begins = clock.now();
    made.successorOf = successorOf;
    return made;
  }
  Ending live(const Life& made) { return test::live(made, *ca, clock); }

  fs::path cache() const { return folder / "cache"; }
  void forgetCache() const {
    fs::remove_all(cache());
    fs::remove(logFile());
  }
  void keepCacheAs(const std::string& name) const {
    fs::remove_all(folder / name);
    fs::copy(cache(), folder / name, fs::copy_options::recursive | fs::copy_options::copy_symlinks);
  }
  void restoreCache(const std::string& name) const {
    forgetCache();
    fs::copy(folder / name, cache(), fs::copy_options::recursive | fs::copy_options::copy_symlinks);
  }

  fs::path certificateFolder() const {
    return cache() / acme::directoryFolderName(ca->directoryUrl()) / "certificates" / acme::nameSetHash({lifeName}) /
           lifeName / "ecdsa-p256";
  }
  bool knowsAnOrder() const { return fs::exists(certificateFolder() / "pending-order.json"); }
  std::size_t generations() const {
    std::size_t count = 0;
    std::error_code error;
    for (fs::directory_iterator at(certificateFolder() / "generations", error), end; !error && at != end;
         at.increment(error)) {
      if (!acme::isSetAside(at->path().filename())) ++count;
    }
    return count;
  }
  static tls::CertifiedKeyRef certificateIn(const fs::path& generation) {
    return tls::CertifiedKey::fromPem(support::contentOf(generation / "fullchain.pem"),
                                      Secret(support::contentOf(generation / "privkey.pem")));
  }
  // What `current` holds: key and chain fit one another, or this throws.
  tls::CertifiedKeyRef current() const { return certificateIn(certificateFolder() / "current"); }
  // Whether a generation on disk is this certificate, whole. The link may lag behind while nothing can be written.
  bool isKept(const std::string& serial) const {
    std::error_code error;
    for (fs::directory_iterator at(certificateFolder() / "generations", error), end; !error && at != end;
         at.increment(error)) {
      if (acme::isSetAside(at->path().filename())) continue;
      try {
        if (certificateIn(at->path())->serial() == serial) return true;
      } catch (const std::exception&) {
        // Damaged, and not looked at yet by anybody who would set it aside.
      }
    }
    return false;
  }
  // Whether it is on disk that the next certificate is to be for a key of its own.
  bool wantsNewKey() const {
    const auto history = Json::parse(support::contentOf(certificateFolder() / "history.json"));
    return history && (*history)["new_key"].boolean();
  }
  // account.json of the one account.
  Json accountOnDisk() const {
    for (const auto& each : acme::foldersIn(cache() / acme::directoryFolderName(ca->directoryUrl()) / "accounts")) {
      if (const auto account = Json::parse(support::contentOf(each / "account.json"))) return *account;
    }
    return {};
  }
  // Every file below the cache by its relative path, sorted; links among them where they are wanted.
  std::vector<fs::path> files() const {
    std::vector<fs::path> all;
    for (const auto& entry : fs::recursive_directory_iterator(cache())) {
      if (entry.is_symlink() || entry.is_regular_file()) all.push_back(entry.path().lexically_relative(cache()));
    }
    std::sort(all.begin(), all.end());
    return all;
  }
  // What a crash must not leave behind once somebody has lived on the cache again.
  std::vector<std::string> halfWritten() const {
    std::vector<std::string> found;
    for (const auto& entry : fs::recursive_directory_iterator(cache())) {
      const fs::path name = entry.path().filename();
      if (acme::isLeftover(name) || acme::isSetAside(name)) found.push_back(entry.path().string());
      if (entry.is_regular_file() && name.extension() == ".json" && !Json::parse(support::contentOf(entry.path()))) {
        found.push_back(entry.path().string());
      }
    }
    return found;
  }
  // The served certificate is on disk, whole, and of three generations at most.
  void expectServedAndKept(const Ending& ending, const std::string& what) const {
    ASSERT_EQ(ending.status, 0) << what << ": " << ending.words << "\n" << said();
    ASSERT_NE(ending.serial, "") << what;
    EXPECT_TRUE(isKept(ending.serial)) << what;
    EXPECT_LE(generations(), 3U) << what;
  }
  // The end of what was said in the lives since the cache was set.
  std::string said() const {
    const std::string all = support::contentOf(logFile());
    auto from = all.size();
    for (int lines = 0; lines < 25 && from != std::string::npos && from > 0; ++lines) from = all.rfind('\n', from - 1);
    return from == std::string::npos ? all : all.substr(from);
  }
  fs::path logFile() const { return cache().string() + ".log"; }

  // A crash is one of processes, not of the machine: what is written is there, so memory does for a disk.
  static void SetUpTestSuite() {
    if (std::getenv("TMPDIR") == nullptr && access("/dev/shm", W_OK) == 0) setenv("TMPDIR", "/dev/shm", 1);
  }

  support::TemporaryFolder folder;
  testing::FakeClock clock;
  std::unique_ptr<FakeCa> ca;
};

}  // namespace postern::test
