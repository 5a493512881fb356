// Static pairs between reloads: what is taken from the files, and what is not.
#include "server/static_certificates.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

#include "tests/support/temporary_folder.h"
#include "tests/support/test_certificates.h"

namespace postern::server {
namespace {

using support::write;
using testing::IssuedPem;
using testing::IssueOptions;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

bool eventually(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + 60s;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

class StaticCertificatesTest : public ::testing::Test {
 protected:
  StaticCertificatesTest() {
    LogSettings toFile;
    toFile.file = at("log");
    log_.configure(toFile);
  }
  std::string at(const std::string& name) const { return (folder_ / name).string(); }
  IssuedPem issue(const std::string& name = "mail.example.org", Duration left = 24h * 90) const {
    IssueOptions options;
    options.notBefore = testing::machineTime() - 24h * 90;
    options.notAfter = testing::machineTime() + left;
    return ca_.issuePem({name}, options);
  }
  void put(const IssuedPem& pair) const {
    write(at("key.pem"), std::string(pair.key.reveal()));
    write(at("cert.pem"), pair.chain);
  }
  // The file whole at once: one that is being written is another bad one to whoever looks just then.
  void replace(const std::string& name, const std::string& content) const {
    write(at(name + ".new"), content);
    fs::rename(at(name + ".new"), at(name));
  }
  static std::string serialOf(const IssuedPem& pair) {
    return tls::CertifiedKey::fromPem(pair.chain, pair.key)->serial();
  }
  std::string served() const {
    const auto found = store_.current()->find(id_);
    return found ? found->serial() : "";
  }
  // As after a start or reload that has read the files.
  void adopt(const std::string& subject = "") {
    config::Settings settings;
    config::ListenerConfig listener;
    if (!subject.empty()) listener.sni.push_back({subject, "own"});
    listener.certificate = "own";
    listener.listener.hostnames = {"mail.example.org"};
    settings.listeners.push_back(listener);
    config::StaticCertificate section;
    section.name = "own";
    section.certificateFile = at("cert.pem");
    section.keyFile = at("key.pem");
    section.certificatePem = support::contentOf(section.certificateFile);
    section.keyPem = Secret(support::contentOf(section.keyFile));
    settings.certificates.push_back(section);
    statics_.adopt({{id_, tls::CertifiedKey::fromPem(section.certificatePem, section.keyPem)}}, settings);
  }
  bool logged(const std::string& text, std::size_t times = 1) {
    return eventually([&] {
      const std::string log = support::contentOf(at("log"));
      std::size_t found = 0;
      for (auto place = log.find(text); place != std::string::npos; place = log.find(text, place + 1)) ++found;
      return found == times;
    });
  }

  support::TemporaryFolder folder_;
  SystemClock clock_;
  Log log_;
  testing::TestCa ca_;
  tls::CertificateStore store_;
  tls::CertificateId id_ = tls::staticCertificate("own");
  StaticCertificates statics_{clock_, log_, store_, {20ms, 200ms, 100ms}};
};

TEST_F(StaticCertificatesTest, TakesANewPairFromItsFilesWithoutAReload) {
  put(issue());
  adopt();
  const auto next = issue();
  put(next);
  EXPECT_TRUE(eventually([&] { return served() == serialOf(next); }));
  EXPECT_TRUE(logged("tls.certificate.loaded certificate=own"));
}

TEST_F(StaticCertificatesTest, KeepsTheLastGoodPairWhileKeyAndChainDoNotBelongTogether) {
  const auto first = issue(), next = issue();
  put(first);
  adopt();
  replace("key.pem", std::string(next.key.reveal()));
  EXPECT_TRUE(logged("tls.certificate.kept"));
  EXPECT_TRUE(logged("the private key does not belong to the certificate"));
  EXPECT_EQ(served(), serialOf(first));
  replace("cert.pem", next.chain);
  EXPECT_TRUE(eventually([&] { return served() == serialOf(next); }));
  EXPECT_TRUE(logged("tls.certificate.kept"));  // once, although it was looked at many times
}

TEST_F(StaticCertificatesTest, KeepsTheLastGoodPairThroughHalfWrittenAndMissingFiles) {
  const auto first = issue(), next = issue();
  put(first);
  adopt();
  replace("cert.pem", next.chain.substr(0, next.chain.size() / 3));
  EXPECT_TRUE(logged("tls.certificate.kept", 1));
  fs::remove(at("cert.pem"));
  EXPECT_TRUE(logged("tls.certificate.kept", 2));
  EXPECT_TRUE(logged("cannot read " + at("cert.pem")));
  EXPECT_EQ(served(), serialOf(first));
  put(next);
  EXPECT_TRUE(eventually([&] { return served() == serialOf(next); }));
}

TEST_F(StaticCertificatesTest, TakesAPairOnlyIfItIsNotWorse) {
  const auto first = issue();
  put(first);
  adopt();
  put(issue("mail.example.org", -24h));
  EXPECT_TRUE(logged("the new pair expired at"));
  put(issue("elsewhere.example.org"));
  EXPECT_TRUE(logged("does not cover mail.example.org any more"));
  EXPECT_EQ(served(), serialOf(first));
  // The same holds for a reload.
  adopt();
  EXPECT_EQ(served(), serialOf(first));
}

TEST_F(StaticCertificatesTest, TakesNoPairThatLacksANameItIsShownFor) {
  const auto both = ca_.issuePem({"mail.example.org", "web.example.org"});
  put(both);
  adopt("web.example.org");
  put(ca_.issuePem({"mail.example.org", "other.example.org"}));
  EXPECT_TRUE(logged("does not cover web.example.org any more"));
  EXPECT_EQ(served(), serialOf(both));
  const auto next = ca_.issuePem({"*.example.org"});
  put(next);
  EXPECT_TRUE(eventually([&] { return served() == serialOf(next); }));
}

TEST_F(StaticCertificatesTest, TakesAnythingForAPairThatHasExpired) {
  put(issue("mail.example.org", -24h));
  adopt();
  const auto next = issue("elsewhere.example.org", -48h);
  put(next);
  EXPECT_TRUE(eventually([&] { return served() == serialOf(next); }));
}

TEST_F(StaticCertificatesTest, PublishesNothingForTheSamePairWrittenAgain) {
  const auto first = issue();
  put(first);
  adopt();
  const auto before = store_.current();
  fs::copy_file(at("cert.pem"), at("copy.pem"));
  fs::rename(at("copy.pem"), at("cert.pem"));
  const auto next = issue();
  replace("key.pem", std::string(next.key.reveal()));
  EXPECT_TRUE(logged("tls.certificate.kept"));  // so it was looked at
  EXPECT_EQ(store_.current(), before);
}

TEST_F(StaticCertificatesTest, TakesWhatChangedWhileAReloadWasReading) {
  const auto first = issue(), next = issue();
  put(first);
  adopt();
  // A reload that has read the old pair comes last.
  config::Settings settings;
  config::StaticCertificate section{"own", first.chain, first.key, at("cert.pem"), at("key.pem")};
  settings.certificates.push_back(section);
  put(next);
  statics_.adopt({{id_, tls::CertifiedKey::fromPem(first.chain, first.key)}}, settings);
  EXPECT_TRUE(eventually([&] { return served() == serialOf(next); }));
}

TEST_F(StaticCertificatesTest, WithdrawsAPairThatIsNoLongerWanted) {
  put(issue());
  adopt();
  EXPECT_NE(served(), "");
  statics_.adopt({}, config::Settings{});
  EXPECT_EQ(served(), "");
  put(issue());
  EXPECT_EQ(served(), "");
}

}  // namespace
}  // namespace postern::server
