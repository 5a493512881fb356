#include "base/atomic_file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "tests/base/temporary_folder.h"

namespace postern {
namespace {

namespace fs = std::filesystem;
using test::TemporaryFolder;

mode_t modeOf(const fs::path& path) {
  struct stat found {};
  EXPECT_EQ(stat(path.c_str(), &found), 0) << path;
  return found.st_mode & 07777;
}

std::size_t entriesIn(const fs::path& folder) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

int errorOf(const std::function<void()>& action) {
  try {
    action();
  } catch (const SystemError& error) {
    return error.error();
  }
  return 0;
}

// A disk that is full after `bytes`, as far as this process can have one.
class FilesNoLongerThan {
 public:
  explicit FilesNoLongerThan(rlim_t bytes) : before_(std::signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &limit_);
    rlimit lower = limit_;
    lower.rlim_cur = bytes;
    setrlimit(RLIMIT_FSIZE, &lower);
  }
  ~FilesNoLongerThan() {
    setrlimit(RLIMIT_FSIZE, &limit_);
    std::signal(SIGXFSZ, before_);
  }

 private:
  rlimit limit_{};
  void (*before_)(int);
};

class Umask {
 public:
  explicit Umask(mode_t mask) : before_(umask(mask)) {}
  ~Umask() { umask(before_); }

 private:
  mode_t before_;
};

TEST(AtomicFile, WritesAndReplacesWhole) {
  const TemporaryFolder folder;
  writeFileAtomically(folder / "f", "one");
  EXPECT_EQ(readFile(folder / "f"), "one");
  writeFileAtomically(folder / "f", std::string("t\0wo", 4));
  EXPECT_EQ(readFile(folder / "f"), std::string("t\0wo", 4));
  EXPECT_EQ(entriesIn(folder.path()), 1U);
}

TEST(AtomicFile, GivesExactlyTheModeAskedForWhateverTheUmask) {
  const TemporaryFolder folder;
  for (const mode_t mask : {0U, 022U, 077U, 0777U}) {
    const Umask umask(mask);
    writeFileAtomically(folder / "a", "x", 0640);
    writeFileAtomically(folder / "b", "x");
    writeNewFile(folder / ("c" + std::to_string(mask)), "x", 0664);
    createDirectories(folder / ("d" + std::to_string(mask)), 0750);
    EXPECT_EQ(modeOf(folder / "a"), 0640U);
    EXPECT_EQ(modeOf(folder / "b"), 0600U);
    EXPECT_EQ(modeOf(folder / ("c" + std::to_string(mask))), 0664U);
    EXPECT_EQ(modeOf(folder / ("d" + std::to_string(mask))), 0750U);
  }
}

TEST(AtomicFile, LeavesTheOldFileAndNothingElseWhenWritingFails) {
  const TemporaryFolder folder;
  writeFileAtomically(folder / "f", "old");
  {
    const FilesNoLongerThan limit(100);
    EXPECT_EQ(errorOf([&] { writeFileAtomically(folder / "f", std::string(1000, 'n')); }), EFBIG);
    EXPECT_EQ(errorOf([&] { writeNewFile(folder / "g", std::string(1000, 'n')); }), EFBIG);
  }
  EXPECT_EQ(readFile(folder / "f"), "old");
  EXPECT_EQ(entriesIn(folder.path()), 1U);
}

TEST(AtomicFile, LeavesNothingWhenTheRenameFails) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "f");
  EXPECT_EQ(errorOf([&] { writeFileAtomically(folder / "f", "x"); }), EISDIR);
  EXPECT_EQ(entriesIn(folder.path()), 1U);
}

TEST(AtomicFile, NamesThePathAndTheReason) {
  try {
    writeFileAtomically("/nonexistent-folder/file", "x");
    FAIL() << "no error";
  } catch (const SystemError& error) {
    EXPECT_EQ(error.error(), ENOENT);
    EXPECT_STREQ(error.what(), "cannot write /nonexistent-folder/file: No such file or directory");
  }
}

TEST(AtomicFile, NeverWritesANewFileOverAnExistingOne) {
  const TemporaryFolder folder;
  writeNewFile(folder / "f", "first");
  EXPECT_EQ(errorOf([&] { writeNewFile(folder / "f", "second"); }), EEXIST);
  EXPECT_EQ(readFile(folder / "f"), "first");
}

TEST(AtomicFile, ShowsReadersOneOfTheContentsWhole) {
  const TemporaryFolder folder;
  const std::string contents[2] = {std::string(100000, 'a'), std::string(50000, 'b')};
  writeFileAtomically(folder / "f", contents[0]);
  std::vector<std::jthread> writers;
  for (const auto& content : contents) {
    writers.emplace_back([&] {
      for (int i = 0; i < 20; ++i) writeFileAtomically(folder / "f", content);
    });
  }
  for (int i = 0; i < 50; ++i) {
    const auto seen = readFile(folder / "f");
    ASSERT_TRUE(seen == contents[0] || seen == contents[1]) << (seen ? seen->size() : 0);
  }
  writers.clear();
  EXPECT_EQ(entriesIn(folder.path()), 1U);
}

TEST(ReadFile, GivesNothingForAFileThatDoesNotExist) {
  const TemporaryFolder folder;
  EXPECT_EQ(readFile(folder / "none"), std::nullopt);
  EXPECT_EQ(readFile(folder / "none" / "below"), std::nullopt);
}

TEST(ReadFile, ThrowsForWhatCannotBeRead) {
  const TemporaryFolder folder;
  EXPECT_EQ(errorOf([&] { readFile(folder.path()); }), EISDIR);
  writeNewFile(folder / "f", "x");
  EXPECT_EQ(errorOf([&] { readFile(folder / "f" / "below"); }), ENOTDIR);
}

TEST(ReadFile, RefusesAFifoInsteadOfWaitingForItsWriter) {
  const TemporaryFolder folder;
  ASSERT_EQ(mkfifo((folder / "fifo").c_str(), 0600), 0);
  EXPECT_EQ(errorOf([&] { readFile(folder / "fifo"); }), EINVAL);
}

TEST(ReadFile, RefusesMoreThanItsLimit) {
  const TemporaryFolder folder;
  writeNewFile(folder / "f", std::string(100000, 'x'));
  EXPECT_EQ(readFile(folder / "f", 100000)->size(), 100000U);
  EXPECT_EQ(errorOf([&] { readFile(folder / "f", 99999); }), EFBIG);
}

TEST(CreateDirectories, LeavesExistingFoldersAsTheyAre) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "a");
  fs::permissions(folder / "a", fs::perms(0755));
  createDirectories(folder / "a" / "b" / "c");
  createDirectories(folder / "a" / "b" / "d/");
  EXPECT_EQ(modeOf(folder / "a"), 0755U);
  EXPECT_EQ(modeOf(folder / "a" / "b"), 0700U);
  EXPECT_EQ(modeOf(folder / "a" / "b" / "c"), 0700U);
  EXPECT_EQ(modeOf(folder / "a" / "b" / "d"), 0700U);
}

TEST(CreateDirectories, SaysWhenAFileStandsInTheWay) {
  const TemporaryFolder folder;
  writeNewFile(folder / "f", "x");
  EXPECT_EQ(errorOf([&] { createDirectories(folder / "f"); }), ENOTDIR);
  EXPECT_EQ(errorOf([&] { createDirectories(folder / "f" / "below"); }), ENOTDIR);
}

TEST(CreateDirectories, TakesTheSameFolderFromManyThreads) {
  const TemporaryFolder folder;
  std::vector<std::jthread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] { EXPECT_NO_THROW(createDirectories(folder / "a" / "b" / "c")); });
  }
  threads.clear();
  EXPECT_TRUE(fs::is_directory(folder / "a" / "b" / "c"));
}

TEST(FlipLink, PointsFromOneTargetToTheNext) {
  const TemporaryFolder folder;
  flipLink(folder / "current", "generations/1");
  EXPECT_EQ(fs::read_symlink(folder / "current"), "generations/1");
  flipLink(folder / "current", "generations/2");
  EXPECT_EQ(fs::read_symlink(folder / "current"), "generations/2");
  EXPECT_EQ(entriesIn(folder.path()), 1U);
}

TEST(RenameDurably, MovesAFolderAndSaysWhyNot) {
  const TemporaryFolder folder;
  fs::create_directories(folder / "new" / "inside");
  fs::create_directory(folder / "target");
  renameDurably(folder / "new", folder / "target" / "1");
  EXPECT_TRUE(fs::is_directory(folder / "target" / "1" / "inside"));
  EXPECT_EQ(errorOf([&] { renameDurably(folder / "none", folder / "x"); }), ENOENT);
}

}  // namespace
}  // namespace postern
