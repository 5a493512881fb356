#include "acme/dns_tsig.h"

#include <gtest/gtest.h>
#include <ldns/ldns.h>

#include <vector>

#include "acme/dns_message.h"
#include "acme/error.h"
#include "base/encoding.h"

namespace postern::acme {
namespace {

const TsigTime now{std::chrono::seconds(1772366400)};

TsigKey key(const std::string& algorithm = "hmac-sha256") {
  return {"acme-key", algorithm, Secret("a secret of some length")};
}

std::string message() {
  return encodeUpdate(4711, "example.org", DnsChange::Add, {"_acme-challenge.example.org", "value", 60});
}

// An answer as a server signs it: over the MAC of the request (RFC 8945 section 5.3). With ldns, for the algorithms
// that it spells right.
std::string answered(const SignedMessage& request, const std::string& algorithm, const std::string& secret) {
  ldns_pkt* packet = nullptr;
  const std::vector<std::uint8_t> wire(request.bytes.begin(), request.bytes.end());
  EXPECT_EQ(ldns_wire2pkt(&packet, wire.data(), wire.size()), LDNS_STATUS_OK);
  EXPECT_TRUE(ldns_pkt_tsig_verify(packet, wire.data(), wire.size(), "acme-key", base64(secret).c_str(), nullptr));
  ldns_pkt* answer = ldns_pkt_new();
  ldns_pkt_set_id(answer, ldns_pkt_id(packet));
  ldns_pkt_set_qr(answer, true);
  ldns_rdf* mac = ldns_rdf_clone(ldns_rr_rdf(ldns_pkt_tsig(packet), 3));
  EXPECT_EQ(ldns_pkt_tsig_sign(answer, "acme-key", base64(secret).c_str(), 300, (algorithm + ".").c_str(), mac),
            LDNS_STATUS_OK);
  std::uint8_t* bytes = nullptr;
  std::size_t size = 0;
  ldns_pkt2wire(&bytes, answer, &size);
  const std::string result(bytes, bytes + size);
  free(bytes);
  ldns_rdf_deep_free(mac);
  ldns_pkt_free(answer);
  ldns_pkt_free(packet);
  return result;
}

TsigTime machineTime() {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

class Tsig : public ::testing::TestWithParam<const char*> {};

TEST_P(Tsig, IsUnderstoodByLdnsAndUnderstandsIt) {
  const std::string secret = "a secret of some length";
  const SignedMessage request = signWithTsig(message(), key(GetParam()), machineTime());
  const TsigVerdict verdict =
      verifyTsig(answered(request, GetParam(), secret), request.mac, key(GetParam()), machineTime());
  EXPECT_TRUE(verdict.verified) << verdict.why;
  EXPECT_EQ(verdict.error, 0);
}

INSTANTIATE_TEST_SUITE_P(Algorithms, Tsig, ::testing::Values("hmac-sha1", "hmac-sha256", "hmac-sha512"),
                         [](const auto& tested) { return std::string(tested.param).substr(5); });

TEST(TsigSigning, MakesMacsOfTheLengthOfEachAlgorithm) {
  EXPECT_EQ(signWithTsig(message(), key("hmac-sha224"), now).mac.size(), 28U);
  EXPECT_EQ(signWithTsig(message(), key("hmac-sha384"), now).mac.size(), 48U);
  EXPECT_THROW(signWithTsig(message(), key("hmac-md4"), now), Error);
}

TEST(TsigSigning, RefusesAKeyNameThatIsNoDnsName) {
  TsigKey bad = key();
  bad.name = "a..b";
  EXPECT_THROW(signWithTsig(message(), bad, now), Error);
}

TEST(TsigVerifying, DistrustsAnAnswerThatWasChangedOrIsToAnotherRequestOrOld) {
  const SignedMessage request = signWithTsig(message(), key(), machineTime());
  const std::string answer = answered(request, "hmac-sha256", "a secret of some length");
  EXPECT_TRUE(verifyTsig(answer, request.mac, key(), machineTime()).verified);

  std::string changed = answer;
  changed[3] = static_cast<char>(changed[3] ^ 5);  // the rcode
  EXPECT_FALSE(verifyTsig(changed, request.mac, key(), machineTime()).verified);
  EXPECT_FALSE(verifyTsig(answer, std::string(32, 'x'), key(), machineTime()).verified);
  EXPECT_FALSE(verifyTsig(answer, request.mac, key(), machineTime() + std::chrono::hours(1)).verified);
  TsigKey other = key();
  other.secret = Secret("another");
  EXPECT_FALSE(verifyTsig(answer, request.mac, other, machineTime()).verified);
  other = key();
  other.name = "other";
  EXPECT_FALSE(verifyTsig(answer, request.mac, other, machineTime()).verified);
}

TEST(TsigVerifying, SurvivesEveryTruncationAndManyChanges) {
  const SignedMessage request = signWithTsig(message(), key(), machineTime());
  const std::string answer = answered(request, "hmac-sha256", "a secret of some length");
  for (std::size_t size = 0; size < answer.size(); ++size) {
    EXPECT_FALSE(verifyTsig(answer.substr(0, size), request.mac, key(), machineTime()).verified) << size;
    for (const int flip : {0x01, 0x80, 0xff}) {
      std::string changed = answer;
      changed[size] = static_cast<char>(changed[size] ^ flip);
      // The record's id and the case of names are not part of what is signed.
      verifyTsig(changed, request.mac, key(), machineTime());
      decodeDns(changed);
    }
  }
}

TEST(DnsMessages, RefuseWhatDnsCannotCarry) {
  EXPECT_THROW(encodeQuery(1, std::string(64, 'a') + ".example.org", DnsType::Txt, true), Error);
  EXPECT_THROW(encodeUpdate(1, "example.org", DnsChange::Add, {"x.example.org", std::string(256, 'v'), 60}), Error);
}

TEST(DnsMessages, JoinTheStringsOfATxtRecordAndNormalizeNames) {
  ldns_pkt* packet = ldns_pkt_new();
  ldns_rr* record = nullptr;
  ASSERT_EQ(ldns_rr_new_frm_str(&record, "X.Example.ORG. 60 IN TXT \"one \" \"two\"", 0, nullptr, nullptr),
            LDNS_STATUS_OK);
  ldns_pkt_push_rr(packet, LDNS_SECTION_ANSWER, record);
  std::uint8_t* bytes = nullptr;
  std::size_t size = 0;
  ldns_pkt2wire(&bytes, packet, &size);
  const auto decoded = decodeDns(std::string(bytes, bytes + size));
  free(bytes);
  ldns_pkt_free(packet);
  ASSERT_TRUE(decoded);
  ASSERT_EQ(decoded->answer.size(), 1U);
  EXPECT_EQ(decoded->answer[0].owner, "x.example.org");
  EXPECT_EQ(decoded->answer[0].data, "one two");
}

TEST(DnsMessages, KnowWhatIsBelowAZone) {
  EXPECT_TRUE(isWithin("a.example.org", "example.org"));
  EXPECT_TRUE(isWithin("example.org", "example.org"));
  EXPECT_FALSE(isWithin("badexample.org", "example.org"));
  EXPECT_EQ(parentOf("a.example.org"), "example.org");
  EXPECT_EQ(parentOf("org"), "");
}

}  // namespace
}  // namespace postern::acme
