#include "tls/file_watch.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <vector>

#include "tests/support/needs_descriptors.h"
#include "tests/support/temporary_folder.h"

namespace postern::tls {
namespace {

using support::TemporaryFolder;
using support::write;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

LogSettings quiet() {
  LogSettings settings;
  settings.level = LogLevel::Error;
  return settings;
}

// Counts looks; a look that does not come within a minute is none.
class Looks {
 public:
  void look() {
    std::lock_guard lock(mutex_);
    ++count_;
    changed_.notify_all();
  }
  bool reach(int count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, 60s, [&] { return count_ >= count; });
  }
  int count() {
    std::lock_guard lock(mutex_);
    return count_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int count_ = 0;
};

class FileWatchTest : public ::testing::Test {
 protected:
  // Nobody looks by the clock here: what is seen was heard.
  static constexpr FileWatch::Times heard{20ms, 1s, 1h};

  std::string at(const std::string& name) const { return (folder_ / name).string(); }
  void watch(std::vector<std::string> files) {
    watch_.watch(std::move(files));
    ASSERT_TRUE(looks_.reach(1));
  }
  // Whether one more look follows what `change` does.
  template <class Change>
  bool sees(const Change& change) {
    const int before = looks_.count();
    change();
    return looks_.reach(before + 1);
  }

  TemporaryFolder folder_;
  Log log_{quiet()};
  Looks looks_;
  FileWatch watch_{log_, [this] { looks_.look(); }, heard};
};

TEST_F(FileWatchTest, SeesAFileThatIsWrittenInPlace) {
  write(at("cert.pem"), "one");
  watch({at("cert.pem")});
  EXPECT_TRUE(sees([&] { write(at("cert.pem"), "two"); }));
  EXPECT_TRUE(sees([&] { write(at("cert.pem"), "three"); }));
}

TEST_F(FileWatchTest, SeesAFileThatIsRenamedOverAnother) {
  write(at("cert.pem"), "one");
  watch({at("cert.pem")});
  for (const char* next : {"two", "three"}) {
    write(at("new.pem"), next);
    EXPECT_TRUE(sees([&] { fs::rename(at("new.pem"), at("cert.pem")); })) << next;
  }
}

TEST_F(FileWatchTest, SeesALinkThatFlipsAsCertbotFlipsIt) {
  fs::create_directories(at("live/mail"));
  fs::create_directories(at("archive/mail"));
  write(at("archive/mail/cert1.pem"), "one");
  fs::create_symlink("../../archive/mail/cert1.pem", at("live/mail/cert.pem"));
  watch({at("live/mail/cert.pem")});
  for (const char* next : {"2", "3"}) {
    write(at(std::string("archive/mail/cert") + next + ".pem"), next);
    EXPECT_TRUE(sees([&] {
      fs::remove(at("live/mail/cert.pem"));
      fs::create_symlink(std::string("../../archive/mail/cert") + next + ".pem", at("live/mail/cert.pem"));
    })) << next;
  }
  // And behind the last of them.
  EXPECT_TRUE(sees([&] { write(at("archive/mail/cert3.pem"), "again"); }));
}

TEST_F(FileWatchTest, SeesAFolderBehindALinkThatFlipsAsKubernetesFlipsIt) {
  fs::create_directories(at("tls/..one"));
  write(at("tls/..one/tls.crt"), "one");
  fs::create_directory_symlink("..one", at("tls/..data"));
  fs::create_symlink("..data/tls.crt", at("tls/tls.crt"));
  watch({at("tls/tls.crt")});
  for (const char* next : {"..two", "..three"}) {
    fs::create_directories(at(std::string("tls/") + next));
    write(at(std::string("tls/") + next + "/tls.crt"), next);
    fs::create_directory_symlink(next, at("tls/..tmp"));
    EXPECT_TRUE(sees([&] { fs::rename(at("tls/..tmp"), at("tls/..data")); })) << next;
  }
}

TEST_F(FileWatchTest, SeesAFileInAFolderThatComesLaterOrGoesAndComesBack) {
  watch({at("later/cert.pem")});
  EXPECT_TRUE(sees([&] { fs::create_directory(at("later")); }));
  EXPECT_TRUE(sees([&] { write(at("later/cert.pem"), "one"); }));
  EXPECT_TRUE(sees([&] { fs::rename(at("later"), at("aside")); }));
  EXPECT_TRUE(sees([&] { fs::rename(at("aside"), at("later")); }));
  EXPECT_TRUE(sees([&] { write(at("later/cert.pem"), "two"); }));
}

TEST_F(FileWatchTest, SeesAFolderFurtherUpThatTakesThePlaceOfAnother) {
  for (const char* site : {"site", "next"}) {
    fs::create_directories(at(std::string(site) + "/tls/mail"));
    write(at(std::string(site) + "/tls/mail/cert.pem"), site);
  }
  watch({at("site/tls/mail/cert.pem")});
  EXPECT_TRUE(sees([&] {
    fs::rename(at("site"), at("before"));
    fs::rename(at("next"), at("site"));
  }));
  EXPECT_TRUE(sees([&] { write(at("site/tls/mail/cert.pem"), "again"); }));
  EXPECT_TRUE(sees([&] { fs::remove_all(at("site")); }));
  EXPECT_TRUE(sees([&] { fs::rename(at("before"), at("site")); }));
}

TEST_F(FileWatchTest, LooksOnceForKeyAndChainWrittenOneAfterTheOther) {
  for (auto quiet = 300ms;; quiet *= 2) {
    Looks looks;
    FileWatch slow(log_, [&] { looks.look(); }, {quiet, 1h, 1h});
    slow.watch({at("cert.pem"), at("key.pem")});
    ASSERT_TRUE(looks.reach(1));
    const auto begin = std::chrono::steady_clock::now();
    write(at("key.pem"), "key");
    write(at("cert.pem"), "cert");
    if (std::chrono::steady_clock::now() - begin >= quiet) continue;  // a busy machine paused between them
    ASSERT_TRUE(looks.reach(2));
    write(at("marker"), "");
    // What follows is a change of its own; had the two been taken apart, there would be one look more.
    write(at("cert.pem"), "cert again");
    ASSERT_TRUE(looks.reach(3));
    EXPECT_EQ(looks.count(), 3);
    return;
  }
}

TEST_F(FileWatchTest, PassesOverOtherFilesOfTheFolder) {
  write(at("cert.pem"), "one");
  watch({at("cert.pem")});
  const int before = looks_.count();
  for (int i = 0; i < 50; ++i) write(at("other" + std::to_string(i)), "x");
  EXPECT_EQ(looks_.count(), before);
  EXPECT_TRUE(sees([&] { write(at("cert.pem"), "two"); }));
  EXPECT_EQ(looks_.count(), before + 1);
}

TEST_F(FileWatchTest, DoesNotWaitForeverForAFolderThatIsNeverQuiet) {
  Looks looks;
  FileWatch slow(log_, [&] { looks.look(); }, {1h, 200ms, 1h});
  slow.watch({at("cert.pem")});
  ASSERT_TRUE(looks.reach(1));
  write(at("cert.pem"), "one");
  EXPECT_TRUE(looks.reach(2));
}

TEST_F(FileWatchTest, LooksByTheClockToo) {
  Looks looks;
  FileWatch clock(log_, [&] { looks.look(); }, {1h, 1h, 30ms});
  clock.watch({"/proc/self/status"});  // of which the kernel tells nothing
  EXPECT_TRUE(looks.reach(4));
}

TEST_F(FileWatchTest, GoesOverToOtherFiles) {
  write(at("b.pem"), "w");  // what comes anew is two changes: it is there, and it is written
  watch({at("a.pem")});
  EXPECT_TRUE(sees([&] { watch_.watch({at("b.pem")}); }));
  EXPECT_TRUE(sees([&] { write(at("b.pem"), "x"); }));
  const int before = looks_.count();
  write(at("a.pem"), "x");
  EXPECT_TRUE(sees([&] { write(at("b.pem"), "y"); }));
  EXPECT_EQ(looks_.count(), before + 1);
}

#ifndef POSTERN_NEEDS_DESCRIPTORS
TEST_F(FileWatchTest, SaysWhereItCannotListenOnceAndLooksByTheClock) {
  LogSettings toFile;
  toFile.file = at("log");
  Log log(toFile);
  Looks looks;
  {
    FileWatch clock(log, [&] { looks.look(); }, {1h, 1h, 30ms});
    rlimit usual{};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &usual), 0);
    const rlimit none{3, usual.rlim_max};  // no descriptor more: nothing to listen with
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
    clock.watch({at("cert.pem")});
    EXPECT_TRUE(looks.reach(4));
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &usual), 0);
  }
  const std::string said = support::contentOf(at("log"));
  EXPECT_NE(said.find("tls.files.polled"), std::string::npos);
  EXPECT_EQ(said.find("tls.files.polled"), said.rfind("tls.files.polled"));
}
#endif

}  // namespace
}  // namespace postern::tls
