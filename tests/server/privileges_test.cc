#include "server/privileges.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <thread>

#include "tests/support/temporary_folder.h"

namespace postern::server {
namespace {

TEST(Privileges, NameTheUserOrGroupThatDoesNotExist) {
  try {
    identityOf({"no-such-user", ""});
    FAIL() << "found";
  } catch (const PrivilegeError& error) {
    EXPECT_NE(std::string(error.what()).find("no-such-user"), std::string::npos);
  }
  EXPECT_THROW(identityOf({"nobody", "no-such-group"}), PrivilegeError);
  EXPECT_FALSE(identityOf({}));
}

TEST(Privileges, CreateTheMissingDirectoriesAndLeaveTheOthersAsTheyAre) {
  support::TemporaryFolder folder;
  config::Settings settings;
  settings.providers.resize(1);
  settings.providers[0].cache = folder / "deep" / "acme";
  settings.maildir = folder / "mail";
  settings.log.file = folder / "logs" / "postern.log";
  settings.controlSocket = folder / "run" / "control.sock";
  std::filesystem::create_directory(folder / "mail");
  ASSERT_EQ(::chmod((folder / "mail").c_str(), 0755), 0);
  prepareDirectories(settings, {});
  auto mode = [](const std::filesystem::path& path) {
    struct stat info {};
    return ::stat(path.c_str(), &info) == 0 ? info.st_mode & 07777U : 0;
  };
  EXPECT_EQ(mode(settings.providers[0].cache), 0700U);
  EXPECT_EQ(mode(settings.maildir), 0755U);
  EXPECT_TRUE(std::filesystem::is_regular_file(settings.log.file));
  EXPECT_TRUE(std::filesystem::is_directory(folder / "run"));
}

TEST(Privileges, SayWhatStandsInTheWayOfADirectory) {
  support::TemporaryFolder folder;
  support::write(folder / "file", "");
  config::Settings settings;
  settings.maildir = folder / "file" / "mail";
  settings.controlSocket = folder / "control.sock";
  try {
    prepareDirectories(settings, {});
    FAIL() << "created";
  } catch (const PrivilegeError& error) {
    EXPECT_NE(std::string(error.what()).find((folder / "file").string()), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("mode 0"), std::string::npos) << error.what();
    EXPECT_EQ(std::string(error.what()).find("storage.maildir: "), 0U) << error.what();
  }
}

TEST(Privileges, TellTheFilesThatAReloadCouldNotRead) {
  support::TemporaryFolder folder;
  support::write(folder / "good", "");
  const std::string missing = folder / "missing";
  const auto failures = unreadableFiles({folder / "good", missing});
  ASSERT_EQ(failures.size(), 1U);
  EXPECT_NE(failures[0].find(missing), std::string::npos);
}

// As nobody where the tests run as root, whom no mode bars; on a thread of its own, which alone becomes that.
std::string unreadableToOthers(const std::string& file) {
  std::string failure;
  std::thread([&] {
    if (::geteuid() == 0) {
      constexpr int nobody = 65534;
      if (::syscall(SYS_setgroups, 0, nullptr) != 0 || ::syscall(SYS_setresgid, nobody, nobody, nobody) != 0 ||
          ::syscall(SYS_setresuid, nobody, nobody, nobody) != 0)
        return;
    }
    const auto failures = unreadableFiles({file});
    if (failures.size() == 1) failure = failures.front();
  }).join();
  return failure;
}

TEST(Privileges, NameTheFolderBehindALinkThatBarsTheWayToAFileItsOwnerItsModeAndTheRemedy) {
  support::TemporaryFolder folder;
  ASSERT_EQ(::chmod(folder.path().c_str(), 0755), 0);
  // As certbot lays them out: live/NAME/privkey.pem is a link into archive/NAME/.
  std::filesystem::create_directories(folder / "live" / "name");
  std::filesystem::create_directories(folder / "archive" / "name");
  support::write(folder / "archive" / "name" / "privkey1.pem", "");
  const std::string file = folder / "live" / "name" / "privkey.pem";
  std::filesystem::create_symlink("../../archive/name/privkey1.pem", file);
  const auto bar = [&](const std::filesystem::path& path, mode_t mode) { EXPECT_EQ(::chmod(path.c_str(), mode), 0); };
  bar(folder / "archive", 0600);
  std::string said = unreadableToOthers(file);
  EXPECT_NE(said.find(file + ": "), std::string::npos) << said;
  EXPECT_NE(said.find("directory " + (folder / "archive").string() + " is owned by "), std::string::npos) << said;
  EXPECT_NE(said.find(", mode 0600; give it to a group of "), std::string::npos) << said;
  bar(folder / "live", 0600);  // comes first
  said = unreadableToOthers(file);
  EXPECT_NE(said.find("directory " + (folder / "live").string() + " is owned by "), std::string::npos) << said;
  bar(folder / "live", 0755);
  bar(folder / "archive", 0755);
  bar(folder / "archive" / "name" / "privkey1.pem", 0000);
  said = unreadableToOthers(file);
  EXPECT_NE(said.find("the file " + (folder / "archive" / "name" / "privkey1.pem").string() + " is owned by "),
            std::string::npos)
      << said;
  EXPECT_NE(said.find(", mode 0000; give it to a group of "), std::string::npos) << said;
}

}  // namespace
}  // namespace postern::server
