#include "server/renew_result.h"

#include <gtest/gtest.h>

#include "tests/support/test_certificates.h"

namespace postern::server {
namespace {

class RenewResult : public ::testing::Test {
 protected:
  acme::CertificateStatus status(const std::string& keyType, const tls::CertifiedKeyRef& certificate) const {
    acme::CertificateStatus one;
    one.id = tls::acmeCertificate("le", {"mail.example.org"}, keyType);
    one.names = {"mail.example.org"};
    one.keyType = keyType;
    one.certificate = certificate;
    return one;
  }
  tls::CertifiedKeyRef issue() const { return ca_.issue({"mail.example.org"}); }

  postern::testing::TestCa ca_;
};

TEST_F(RenewResult, NamesTheOneOfTwoThatHasNotComeAndItsNextAttempt) {
  const acme::CertificateStatus first = status("ecdsa-p256", issue()), second = status("rsa-2048", issue());
  acme::CertificateStatus renewed = first, delayed = second;
  renewed.certificate = issue();
  renewed.nextAttempt = *parseRfc3339("2026-08-01T12:00:00Z");
  delayed.nextAttempt = *parseRfc3339("2026-03-04T12:00:00Z");
  EXPECT_EQ(whyNoneCame({first.id, second.id}, {{first, second}, {}}, {{renewed, delayed}, {}}),
            "mail.example.org (rsa-2048): no new certificate has come; the next attempt is at 2026-03-04T12:00:00Z, "
            "see the limits in `postern status`");
}

TEST_F(RenewResult, SaysTheErrorOfAFailedOneAndNothingOfThoseThatWereNotOrdered) {
  const acme::CertificateStatus first = status("ecdsa-p256", nullptr), second = status("rsa-2048", nullptr);
  acme::CertificateStatus failed = first;
  failed.lastError = acme::LastError{"urn:ietf:params:acme:error:caa", "forbidden", "", Time{}};
  EXPECT_EQ(whyNoneCame({first.id}, {{first, second}, {}}, {{failed, second}, {}}),
            "mail.example.org: urn:ietf:params:acme:error:caa: forbidden");
}

}  // namespace
}  // namespace postern::server
