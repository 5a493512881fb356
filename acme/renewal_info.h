// RenewalInfo: ACME Renewal Information (RFC 9773): when the CA wishes a certificate to be renewed.
//
// Pure functions on values; any thread.
#pragma once

#include <optional>
#include <string>

#include "acme/transport.h"
#include "base/clock.h"
#include "tls/certified_key.h"

namespace postern::acme {

// What the CA told about one certificate, and what was drawn from it. Kept on disk beside the certificate.
struct RenewalInfo {
  std::string certificateId;       // of the certificate it is about: a window of another one is none
  std::optional<Time> start, end;  // suggestedWindow, where it was sane
  std::optional<Time> pick;        // drawn once for this window, inside it
  std::string explanationUrl;      // "" when none
  Time askAgain{};                 // by Retry-After, kept between one minute and a day
  bool operator==(const RenewalInfo&) const = default;
};

// RFC 9773 section 4.1: base64url(AKI keyIdentifier) "." base64url(DER serial). "" when the certificate has no AKI.
std::string renewalCertificateId(const tls::CertifiedKey& certificate);
std::string renewalCertificateId(const X509* certificate);

// The answer to a request for `certificateId`. A window that is empty, reversed or wholly beyond `notAfter` is left out
// (start, end and pick unset) and `askAgain` still holds. Times are cut to the second. `chance` in [0,1) draws the
// pick, not after `notAfter`; where the window is the one of `before`, its pick is kept. An answer without Retry-After
// is asked again after six hours. Throws Error postern:malformed for what is no such answer.
RenewalInfo readRenewalInfo(const HttpResponse& response, const std::string& certificateId, Time notAfter,
                            const std::optional<RenewalInfo>& before, Time now, double chance);

}  // namespace postern::acme
