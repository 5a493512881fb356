#include "acme/export.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

#include "base/text.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test_certificates.h"

namespace postern::acme {
namespace {

namespace fs = std::filesystem;
using Names = std::vector<std::string>;

class Export : public ::testing::Test {
 protected:
  Export() {
    LogSettings settings;
    settings.file = folder / "log";
    EXPECT_EQ(log.configure(settings), "");
    provider.name = "main";
    provider.exportTo = folder / "export";
  }
  void write(const tls::CertifiedKey& certificate, const Names& names, const std::string& keyType = "ecdsa-p256") {
    exporter.write(provider, names, keyType, certificate);
  }
  std::string content(const fs::path& name) const { return support::contentOf(folder / "export" / name); }
  static struct stat statOf(const fs::path& path) {
    struct stat found {};
    EXPECT_EQ(::stat(path.c_str(), &found), 0) << path;
    return found;
  }
  std::string logged() const { return support::contentOf(folder / "log"); }

  support::TemporaryFolder folder;
  Log log;
  Exporter exporter{log};
  Provider provider;
  testing::TestCa ca;
  const Names mail{"mail.example.org", "imap.example.org"};
};

TEST_F(Export, WritesNothingForAProviderWithoutAnExportFolder) {
  provider.exportTo = "";
  write(*ca.issue(mail), mail);
  EXPECT_EQ(support::entriesIn(folder.path()), 1U);  // the log
  EXPECT_EQ(logged(), "");
}

TEST_F(Export, WritesKeyAndChainApartAndInOneFile) {
  const auto certificate = ca.issue(mail);
  write(*certificate, mail);
  const std::string key(tls::keyToPem(certificate->key()).reveal());
  EXPECT_EQ(content("mail.example.org/privkey.pem"), key);
  EXPECT_EQ(content("mail.example.org/fullchain.pem"), certificate->chainPem());
  EXPECT_EQ(content("mail.example.org/tls.pem"), key + certificate->chainPem());
  EXPECT_EQ(content("mail.example.org/cert.pem") + content("mail.example.org/chain.pem"), certificate->chainPem());
  EXPECT_EQ(content("mail.example.org/chain.pem"), ca.intermediatePem());
  const std::string both = content("mail.example.org/tls.pem");
  EXPECT_EQ(tls::CertifiedKey::fromPem(both, Secret(both))->serial(), certificate->serial());
}

TEST_F(Export, GivesFilesMode0640AndFoldersMode0750WhateverTheUmask) {
  const mode_t before = ::umask(0);
  write(*ca.issue(mail), mail);
  ::umask(before);
  EXPECT_EQ(statOf(folder / "export").st_mode & 07777U, 0750U);
  EXPECT_EQ(statOf(folder / "export/mail.example.org").st_mode & 07777U, 0750U);
  for (const auto& entry : fs::directory_iterator(folder / "export/mail.example.org")) {
    EXPECT_EQ(statOf(entry.path()).st_mode & 07777U, 0640U) << entry.path();
  }
}

TEST_F(Export, GivesTheGroupToFilesAndFoldersAndTakesItBackFromOthers) {
  // Root may give any group; others only one of their own.
  std::array<gid_t, 64> groups{};
  const int count = ::getgroups(static_cast<int>(groups.size()), groups.data());
  std::string name = "daemon";
  gid_t wanted = 1;
  if (::geteuid() != 0) {
    ASSERT_GT(count, 0) << "a user without groups cannot test this";
    wanted = groups[0];
    name = [&] {
      const auto entry = support::contentOf("/etc/group");
      for (const auto& line : split(entry, '\n')) {
        const auto parts = split(line, ':');
        if (parts.size() > 2 && parts[2] == std::to_string(wanted)) return parts[0];
      }
      return std::string();
    }();
    ASSERT_NE(name, "");
  }
  const auto certificate = ca.issue(mail);
  write(*certificate, mail);
  provider.exportGroup = name;
  write(*certificate, mail);  // the same bytes, another group
  EXPECT_EQ(statOf(folder / "export/mail.example.org").st_gid, wanted);
  for (const auto& entry : fs::directory_iterator(folder / "export/mail.example.org")) {
    EXPECT_EQ(statOf(entry.path()).st_gid, wanted) << entry.path();
  }
}

TEST_F(Export, LeavesTheAdministratorsFolderAsItIs) {
  fs::create_directory(folder / "export");
  ASSERT_EQ(::chmod((folder / "export").c_str(), 0711), 0);
  write(*ca.issue(mail), mail);
  EXPECT_EQ(statOf(folder / "export").st_mode & 07777U, 0711U);
}

TEST_F(Export, ReplacesOnlyWhatIsMissingOrDifferent) {
  const auto certificate = ca.issue(mail);
  write(*certificate, mail);
  const auto kept = statOf(folder / "export/mail.example.org/fullchain.pem").st_ino;
  support::write(folder / "export/mail.example.org/privkey.pem", "spoilt");
  fs::remove(folder / "export/mail.example.org/cert.pem");
  ::chmod((folder / "export/mail.example.org/tls.pem").c_str(), 0666);
  write(*certificate, mail);
  EXPECT_EQ(statOf(folder / "export/mail.example.org/fullchain.pem").st_ino, kept);
  EXPECT_EQ(content("mail.example.org/privkey.pem"), tls::keyToPem(certificate->key()).reveal());
  EXPECT_NE(content("mail.example.org/cert.pem"), "");
  EXPECT_EQ(statOf(folder / "export/mail.example.org/tls.pem").st_mode & 07777U, 0640U);
}

TEST_F(Export, GoesOverToTheNextCertificate) {
  write(*ca.issue(mail), mail);
  const auto next = ca.issue(mail);
  write(*next, mail);
  const std::string both = content("mail.example.org/tls.pem");
  EXPECT_EQ(tls::CertifiedKey::fromPem(both, Secret(both))->serial(), next->serial());
  EXPECT_EQ(content("mail.example.org/fullchain.pem"), next->chainPem());
}

TEST_F(Export, WritesAWildcardAsAnUnderscore) {
  write(*ca.issue({"*.example.org"}), {"*.example.org"});
  EXPECT_NE(content("_.example.org/tls.pem"), "");
}

TEST_F(Export, KeepsTheFirstKeyTypeWhereItWasWhenASecondComes) {
  provider.keyTypes = {"ecdsa-p256", "rsa-2048"};
  testing::IssueOptions rsa;
  rsa.keyType = tls::KeyType::Rsa2048;
  const auto first = ca.issue(mail), second = ca.issue(mail, rsa);
  write(*first, mail);
  write(*second, mail, "rsa-2048");
  EXPECT_EQ(content("mail.example.org/fullchain.pem"), first->chainPem());
  EXPECT_EQ(content("mail.example.org/rsa-2048/fullchain.pem"), second->chainPem());
}

TEST_F(Export, SaysThatTwoCertificatesShareAFolder) {
  write(*ca.issue(mail), mail);
  EXPECT_EQ(logged().find("acme.export.shared"), std::string::npos);
  write(*ca.issue({"mail.example.org"}), {"mail.example.org"});
  EXPECT_NE(logged().find("acme.export.shared"), std::string::npos);
}

TEST_F(Export, LogsAFolderThatCannotBeWrittenWithTheRemedyAndThrowsNothing) {
  support::write(folder / "export", "a file");
  write(*ca.issue(mail), mail);
  EXPECT_NE(logged().find("acme.export.failed"), std::string::npos);
  EXPECT_NE(logged().find("remedy="), std::string::npos);
  EXPECT_EQ(logged().find("PRIVATE KEY"), std::string::npos);
}

TEST_F(Export, WritesNoKeyForAGroupThatDoesNotExist) {
  provider.exportGroup = "no-such-group-here";
  write(*ca.issue(mail), mail);
  EXPECT_FALSE(fs::exists(folder / "export"));
  EXPECT_NE(logged().find("no-such-group-here"), std::string::npos);
}

}  // namespace
}  // namespace postern::acme
