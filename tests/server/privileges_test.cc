#include "server/privileges.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

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

}  // namespace
}  // namespace postern::server
