#include "acme/dns_update.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "base/encoding.h"
#include "tests/support/dns_server.h"

namespace postern::acme {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

const std::string secret = "a secret of some length";

struct DnsUpdateTest : ::testing::Test {
  DnsUpdateTest() {
    server.holdZone("example.org");
    server.takeUpdatesWith("acme-key", base64(secret));
  }
  DnsUpdate updates(const std::string& keyName = "acme-key", const std::string& keySecret = secret) {
    return DnsUpdate("ns.example.org", {{server.address(), server.port()}},
                     TsigKey{keyName, "hmac-sha256", Secret(keySecret)}, log);
  }
  // What the Error says.
  static std::string refusal(DnsUpdate method, const TxtRecord& what) {
    try {
      method.add(what, {});
    } catch (const Error& error) {
      EXPECT_EQ(error.problem.type, "postern:dns");
      EXPECT_EQ(error.problem.name, what.name);
      return error.problem.detail;
    }
    return "nothing was thrown";
  }
  test::DnsServer server;
  Log log{LogSettings{LogLevel::Error, LogFormat::Text, ""}};
  const TxtRecord record{"_acme-challenge.mail.example.org", "value-1", 60};
};

TEST_F(DnsUpdateTest, AddsAndRemovesSingleRecordsAndLeavesTheirNeighboursAlone) {
  server.addRecord("_acme-challenge.mail.example.org. 60 IN TXT \"of somebody else\"");
  DnsUpdate method = updates();
  method.add(record, {});
  method.add({record.name, "value-2", 60}, {});
  EXPECT_THAT(server.txt(record.name), UnorderedElementsAre("of somebody else", "value-1", "value-2"));
  method.remove(record, {});
  EXPECT_THAT(server.txt(record.name), UnorderedElementsAre("of somebody else", "value-2"));
}

TEST_F(DnsUpdateTest, RemovesTheRecordAlsoAfterTheOrderWasStopped) {
  DnsUpdate method = updates();
  method.add(record, {});
  std::stop_source stop;
  stop.request_stop();
  method.remove(record, stop.get_token());
  EXPECT_THAT(server.txt(record.name), IsEmpty());
}

TEST_F(DnsUpdateTest, SaysThatTheServerDoesNotKnowTheKey) {
  EXPECT_THAT(refusal(updates("other-key"), record),
              ::testing::AllOf(HasSubstr("ns.example.org"), HasSubstr("zone example.org"), HasSubstr("NOTAUTH"),
                               HasSubstr("BADKEY"), HasSubstr("dns.key")));
}

TEST_F(DnsUpdateTest, SaysThatTheSecretIsAnotherAndDoesNotPrintIt) {
  const std::string said = refusal(updates("acme-key", "wrong secret"), record);
  EXPECT_THAT(said, ::testing::AllOf(HasSubstr("BADSIG"), HasSubstr("dns.secret")));
  EXPECT_THAT(said, ::testing::Not(HasSubstr("wrong secret")));
}

TEST_F(DnsUpdateTest, NamesTheRcodeAndTheRemedyOfARefusal) {
  server.refuseUpdates(5);
  EXPECT_THAT(refusal(updates(), record), ::testing::AllOf(HasSubstr("REFUSED"), HasSubstr("update-policy")));
  server.refuseUpdates(4);
  EXPECT_THAT(refusal(updates(), record), HasSubstr("NOTIMP"));
  EXPECT_THROW(updates().add(record, {}), NothingChanged);
}

TEST_F(DnsUpdateTest, SaysThatTheServerHoldsNoZoneForTheName) {
  EXPECT_THAT(refusal(updates(), {"_acme-challenge.example.net", "value", 60}),
              ::testing::AllOf(HasSubstr("holds no zone for _acme-challenge.example.net"), HasSubstr("REFUSED")));
}

TEST_F(DnsUpdateTest, DoesNotWriteBelowADelegation) {
  server.delegate("sub.example.org");
  EXPECT_THAT(refusal(updates(), {"_acme-challenge.sub.example.org", "value", 60}),
              HasSubstr("sub.example.org to other"));
  EXPECT_EQ(server.updates(), 0);
}

TEST_F(DnsUpdateTest, DistrustsAnAnswerWhoseSignatureIsWrong) {
  server.spoilSignatures(true);
  EXPECT_THAT(refusal(updates(), record), HasSubstr("cannot be trusted"));
}

TEST_F(DnsUpdateTest, NamesAServerThatIsNotThere) {
  DnsUpdate method("ns.example.org", {{"127.0.0.1", 1}}, TsigKey{"acme-key", "hmac-sha256", Secret(secret)}, log);
  EXPECT_THAT(refusal(std::move(method), record), ::testing::AllOf(HasSubstr("127.0.0.1:1"), HasSubstr("refused")));
}

TEST_F(DnsUpdateTest, GoesOnToTheServersNextAddressWhereOneIsNotReached) {
  DnsUpdate method("ns.example.org", {{"127.0.0.1", 1}, {server.address(), server.port()}},
                   TsigKey{"acme-key", "hmac-sha256", Secret(secret)}, log);
  method.add(record, {});
  EXPECT_THAT(server.txt(record.name), ElementsAre("value-1"));
}

TEST_F(DnsUpdateTest, EndsWithinASecondOfAStopRequest) {
  for (const bool silent : {true, false}) {  // at the question for the zone; at the update itself
    server.setSilent(silent);
    server.swallowUpdateAnswers(!silent);
    DnsUpdate method = updates();
    std::stop_source stop;
    const int before = server.tcpConnections();
    std::jthread stopping([&] {
      while (!silent && server.tcpConnections() == before) std::this_thread::yield();
      stop.request_stop();
    });
    const auto begun = std::chrono::steady_clock::now();
    EXPECT_THROW(method.add(record, stop.get_token()), Stopped);
    EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::minutes(1));
  }
}

TEST_F(DnsUpdateTest, AsksForTheZoneOverTcpWhenTheAnswerIsCut) {
  server.setTruncating(true);
  DnsUpdate method = updates();
  method.add(record, {});
  EXPECT_THAT(server.txt(record.name), ElementsAre("value-1"));
}

}  // namespace
}  // namespace postern::acme
