// What the doctor's tests share: an examination of one provider with one name, its DNS and its CA's directory.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "server/doctor.h"
#include "tests/support/dns_server.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test_certificates.h"

namespace postern::server {

// One exchange: what `answer` says, or the Error that it throws.
struct Answering : acme::Transport {
  explicit Answering(std::function<acme::HttpResponse()> a) : answer(std::move(a)) {}
  acme::HttpResponse send(const acme::HttpRequest&, std::stop_token) override { return answer(); }
  std::function<acme::HttpResponse()> answer;
};

class Doctor : public ::testing::Test {
 protected:
  Doctor() {
    dns.holdZone("example.org");
    dns.holdZone("org");  // a resolver answers for what is above it, too
    provider.name = "main";
    provider.directory = "https://ca.test/directory";
    provider.cache = folder / "cache";
    provider.port = 0;
    of.resolvers = {{dns.address(), dns.port()}};
    of.now = testing::machineTime();
    of.settings.controlSocket = folder / "control.sock";
    wants({"mail.example.org"});
    answers(200, R"({"newNonce":"https://ca.test/n","newAccount":"https://ca.test/a","newOrder":"https://ca.test/o",
                     "meta":{"caaIdentities":["ca.test"]}})");
  }
  void wants(const std::vector<std::string>& names) {
    of.plan.certificates = {{"main", names}};
    of.providers = {provider};
    of.settings.providers = {provider};
  }
  void answers(int status, const std::string& body, const std::string& date = "") {
    of.transports = [=](const acme::Provider&) {
      return std::make_unique<Answering>([=] {
        acme::HttpResponse response;
        response.status = status;
        response.body = body;
        if (!date.empty()) response.headers.emplace("date", date);
        return response;
      });
    };
  }
  void fails(const std::string& detail) {
    of.transports = [=](const acme::Provider&) {
      return std::make_unique<Answering>(
          [=]() -> acme::HttpResponse { throw acme::Error(acme::makeProblem("postern:connection", detail)); });
    };
  }
  Findings directory() {
    DirectoryFacts facts;
    return examineDirectory(of, provider, facts, {});
  }
  Findings address(const std::string& name) { return examineAddress(of, provider, name, {}); }
  Findings caa(const std::string& name) {
    DirectoryFacts facts;
    examineDirectory(of, provider, facts, {});
    return examineCaa(of, provider, name, facts, {});
  }
  // One finding of that weight that says `words`, with a remedy.
  static ::testing::AssertionResult one(const Findings& findings, Weight weight, const std::string& words) {
    if (findings.size() != 1) return ::testing::AssertionFailure() << doctorText(findings);
    const auto& found = findings.front();
    if (found.weight != weight || found.problem.find(words) == std::string::npos || found.remedy.empty()) {
      return ::testing::AssertionFailure() << doctorText(findings);
    }
    return ::testing::AssertionSuccess();
  }

  support::TemporaryFolder folder;
  test::DnsServer dns;
  Log log{LogSettings{LogLevel::Error, LogFormat::Text, ""}};
  acme::Provider provider;
  Examination of;
};

}  // namespace postern::server
