#include "acme/renewal_info.h"

#include <openssl/asn1.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <memory>

#include "acme/answer.h"
#include "acme/retry_after.h"
#include "base/encoding.h"
#include "tls/certificate_reading.h"

namespace postern::acme {
namespace {

constexpr auto soonest = std::chrono::minutes(1);
constexpr auto latest = std::chrono::hours(24);
constexpr auto usual = std::chrono::hours(6);
constexpr std::size_t longestUrl = 2048;

[[noreturn]] void refuse(const std::string& why) {
  throw Error(makeProblem("postern:malformed", "the CA's renewal information " + why));
}

// To the second, as everything is written down: a window that went through the disk is still the same.
Time timestamp(const Json& window, std::string_view member) {
  const auto time = parseRfc3339(window[member].string());
  if (!time) refuse("has no time in suggestedWindow." + std::string(member));
  return std::chrono::floor<std::chrono::seconds>(*time);
}

Time drawn(Time start, Time end, double chance) {
  const auto width = std::chrono::duration_cast<std::chrono::seconds>(end - start);
  const auto into = std::chrono::seconds(
      static_cast<std::chrono::seconds::rep>(static_cast<double>(width.count()) * std::clamp(chance, 0.0, 1.0)));
  return start + std::min(into, width);
}

// It goes into the log and before people's eyes: nothing but a web page's address is one.
std::string webAddress(const std::string& text) {
  const bool isOne = (text.starts_with("https://") || text.starts_with("http://")) && text.size() <= longestUrl;
  return isOne ? text : "";
}

}  // namespace

std::string renewalCertificateId(const X509* certificate) {
  using SerialBytes = std::unique_ptr<unsigned char, decltype([](unsigned char* p) { OPENSSL_free(p); })>;
  // The cast: OpenSSL caches what it reads of the extensions in the certificate, under its lock.
  const ASN1_OCTET_STRING* issuer = X509_get0_authority_key_id(const_cast<X509*>(certificate));
  if (!issuer || ASN1_STRING_length(issuer) <= 0) return "";
  unsigned char* raw = nullptr;
  const int size = i2d_ASN1_INTEGER(X509_get0_serialNumber(certificate), &raw);
  const SerialBytes der(raw);
  const unsigned char* value = raw;
  long length = 0;
  int tag = 0, kind = 0;
  // The contents alone, without tag and length; a leading zero of DER stays (RFC 9773 section 4.1).
  if (size <= 0 || (ASN1_get_object(&value, &length, &tag, &kind, size) & 0x80) != 0) {
    tls::drainErrors();
    return "";
  }
  const auto text = [](const unsigned char* bytes, std::size_t count) {
    return base64Url(std::string_view(reinterpret_cast<const char*>(bytes), count));
  };
  return text(ASN1_STRING_get0_data(issuer), static_cast<std::size_t>(ASN1_STRING_length(issuer))) + "." +
         text(value, static_cast<std::size_t>(length));
}

std::string renewalCertificateId(const tls::CertifiedKey& certificate) {
  // Asked of thousands at the start: the certificate itself stays as it is kept.
  const tls::CertPtr leaf = tls::certificateWithoutKey(certificate.leafDer());
  return leaf ? renewalCertificateId(leaf.get()) : "";
}

RenewalInfo readRenewalInfo(const HttpResponse& response, const std::string& certificateId, Time notAfter,
                            const std::optional<RenewalInfo>& before, Time now, double chance) {
  const Json json = jsonObject(response, "renewalInfo");
  const Json& window = json["suggestedWindow"];
  if (!window.isObject()) refuse("has no \"suggestedWindow\"");
  const Time start = timestamp(window, "start"), end = timestamp(window, "end");

  RenewalInfo info;
  info.certificateId = certificateId;
  info.explanationUrl = webAddress(json["explanationURL"].string());
  info.askAgain = std::clamp<Time>(retryAfter(response, now).value_or(now + usual), now + soonest, now + latest);
  if (start >= end || start >= notAfter) return info;
  info.start = start;
  info.end = end;
  const bool same = before && before->certificateId == certificateId && before->start == start && before->end == end;
  info.pick = same && before->pick ? *before->pick : drawn(start, std::min(end, notAfter), chance);
  return info;
}

}  // namespace postern::acme
