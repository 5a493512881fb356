#include "server/doctor_caa.h"

#include <gtest/gtest.h>

namespace postern::server {
namespace {

using Kind = CaaRuling::Kind;
using Records = std::vector<std::string>;

const CaaSubject ours{{"ca.example.net", "other.example.net"}, "https://ca/account/7", {"tls-alpn-01", "http-01"}};

struct Case {
  const char* what;
  Records records;
  bool wildcard;
  Kind kind;
};

TEST(Caa, RulesAsRfc8659And8657Say) {
  const Case cases[] = {
      {"nothing about issuing", {"0 iodef mailto:x@example.org"}, false, Kind::Allowed},
      {"our CA", {"0 issue ca.example.net"}, false, Kind::Allowed},
      {"any of its names, any case", {"0 ISSUE Other.Example.NET"}, false, Kind::Allowed},
      {"another CA", {"0 issue letsencrypt.org"}, false, Kind::Forbidden},
      {"one of several", {"0 issue letsencrypt.org", "0 issue ca.example.net"}, false, Kind::Allowed},
      {"nobody", {"0 issue ;"}, false, Kind::Forbidden},
      {"nobody, but us", {"0 issue ;", "0 issue ca.example.net"}, false, Kind::Allowed},
      {"wildcards go by issuewild", {"0 issue ca.example.net", "0 issuewild ;"}, true, Kind::Forbidden},
      {"issuewild is for wildcards", {"0 issue ca.example.net", "0 issuewild ;"}, false, Kind::Allowed},
      {"without issuewild by issue", {"0 issue ca.example.net"}, true, Kind::Allowed},
      {"issuewild alone is nothing to others", {"0 issuewild ;"}, false, Kind::Allowed},
      {"our account", {"0 issue ca.example.net; accounturi=https://ca/account/7"}, false, Kind::Allowed},
      {"another account", {"0 issue ca.example.net; accounturi=https://ca/account/8"}, false, Kind::Forbidden},
      {"our challenge", {"0 issue ca.example.net; validationmethods=dns-01,http-01"}, false, Kind::Allowed},
      {"another challenge", {"0 issue ca.example.net; validationmethods=dns-01"}, false, Kind::Forbidden},
      {"both parameters",
       {"0 issue ca.example.net;validationmethods=http-01 ; accounturi=https://ca/account/7"},
       false,
       Kind::Allowed},
      {"an unknown critical property", {"128 future x", "0 issue ca.example.net"}, false, Kind::Forbidden},
      {"an unknown one", {"0 future x", "0 issue ca.example.net"}, false, Kind::Allowed},
      {"a known critical one", {"128 issue ca.example.net"}, false, Kind::Allowed},
      {"garbage", {"x", ""}, false, Kind::Allowed},
  };
  for (const auto& each : cases) {
    const auto ruling = caaRuling(each.records, each.wildcard, ours);
    EXPECT_EQ(static_cast<int>(ruling.kind), static_cast<int>(each.kind)) << each.what << ": " << ruling.why;
    EXPECT_EQ(ruling.why.empty(), ruling.kind == Kind::Allowed) << each.what;
  }
}

TEST(Caa, SaysWhyItForbids) {
  EXPECT_EQ(caaRuling({"0 issue letsencrypt.org"}, false, ours).why,
            "only letsencrypt.org may issue, and this CA goes by ca.example.net, other.example.net");
  EXPECT_NE(caaRuling({"0 issue ca.example.net; validationmethods=dns-01"}, false, ours).why.find("dns-01"),
            std::string::npos);
}

TEST(Caa, DoesNotKnowWhenTheDirectoryDoesNotSayWhoItIs) {
  const CaaSubject unknown{{}, "", {"tls-alpn-01"}};
  EXPECT_EQ(static_cast<int>(caaRuling({"0 issue letsencrypt.org"}, false, unknown).kind),
            static_cast<int>(Kind::Unknown));
  EXPECT_EQ(static_cast<int>(caaRuling({"0 issue ;"}, false, unknown).kind), static_cast<int>(Kind::Forbidden));
  EXPECT_EQ(static_cast<int>(caaRuling({"0 issue letsencrypt.org; validationmethods=dns-01"}, false, unknown).kind),
            static_cast<int>(Kind::Forbidden));
}

}  // namespace
}  // namespace postern::server
