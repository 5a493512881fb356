// The checks of a downloaded chain (pitfall 22).
#include <arpa/inet.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "acme/issuance.h"
#include "base/text.h"

namespace postern::acme {
namespace {

constexpr auto clockSkew = std::chrono::minutes(5);  // a CA's clock may be a little ahead of ours
constexpr std::string_view pemBegin = "-----BEGIN CERTIFICATE-----";
constexpr std::string_view pemEnd = "-----END CERTIFICATE-----";

[[noreturn]] void refuse(const std::string& why, const std::string& name = {}) {
  throw Error(makeProblem("postern:certificate", why, name));
}

// The certificates of the answer and nothing else: RFC 8555 section 9.1 allows no text between them, but that would be
// harmless, and a private key (section 11.4) is passed over. A single certificate in DER is understood as well.
std::string certificatesIn(const std::string& body) {
  std::string pem;
  for (std::size_t at = body.find(pemBegin); at != std::string::npos; at = body.find(pemBegin, at)) {
    std::size_t end = body.find(pemEnd, at);
    if (end == std::string::npos) refuse("the certificate that the CA sent is cut off");
    pem += body.substr(at, end + pemEnd.size() - at) + "\n";
    at = end;
  }
  if (!pem.empty()) return pem;
  const auto* bytes = reinterpret_cast<const unsigned char*>(body.data());
  tls::CertPtr certificate(d2i_X509(nullptr, &bytes, static_cast<long>(body.size())));
  tls::BioPtr out(BIO_new(BIO_s_mem()));
  if (!certificate || !out || PEM_write_bio_X509(out.get(), certificate.get()) != 1) {
    tls::drainErrors();
    refuse("what the CA sent as the certificate is neither PEM nor DER");
  }
  char* text = nullptr;
  long length = BIO_get_mem_data(out.get(), &text);
  return {text, static_cast<std::size_t>(length)};
}

std::size_t countIn(std::string_view pem) {
  std::size_t count = 0;
  for (std::size_t at = pem.find(pemBegin); at != std::string_view::npos; at = pem.find(pemBegin, at + 1)) ++count;
  return count;
}

// One spelling for an address, so that "::1" is found in a certificate that says "0:0:0:0:0:0:0:1".
std::string spelled(const std::string& name) {
  std::array<unsigned char, 16> address{};
  std::array<char, INET6_ADDRSTRLEN> text{};
  for (int family : {AF_INET, AF_INET6}) {
    if (inet_pton(family, name.c_str(), address.data()) == 1) {
      return inet_ntop(family, address.data(), text.data(), static_cast<socklen_t>(text.size()));
    }
  }
  return lower(name);
}

void demandNames(const tls::CertifiedKey& certificate, const std::vector<std::string>& names) {
  std::vector<std::string> held;
  for (const std::string& name : certificate.names()) held.push_back(spelled(name));
  for (const std::string& name : names) {
    if (std::find(held.begin(), held.end(), spelled(name)) == held.end()) {
      refuse("the certificate that the CA sent is for " + joined(certificate.names(), ", ") + " and not for " + name,
             name);
    }
  }
}

}  // namespace

tls::CertifiedKeyRef verified(const std::string& pem, EVP_PKEY* key, const std::vector<std::string>& names, Time now) {
  std::string chain = certificatesIn(pem);
  tls::CertifiedKeyRef certificate;
  try {
    certificate = tls::CertifiedKey::fromPem(chain, tls::share(key));
  } catch (const tls::Error& error) {
    refuse(std::string("the certificate that the CA sent is not usable: ") + error.what());
  }
  if (certificate->selfSigned()) refuse("the CA sent a self-signed certificate");
  // Peers would have to know the intermediate certificate by themselves; certbot refuses this as well.
  if (countIn(chain) < 2) refuse("the CA sent the certificate without the chain to its root");
  demandNames(*certificate, names);
  if (certificate->notBefore() > now + clockSkew) {
    refuse("the certificate that the CA sent is not valid before " + rfc3339(certificate->notBefore()) +
           "; check this machine's clock");
  }
  if (certificate->notAfter() <= now) {
    refuse("the certificate that the CA sent has expired at " + rfc3339(certificate->notAfter()) +
           "; check this machine's clock");
  }
  if ((X509_get_extension_flags(certificate->leaf()) & EXFLAG_CA) != 0) refuse("the CA sent the certificate of a CA");
  if (X509_check_purpose(certificate->leaf(), X509_PURPOSE_SSL_SERVER, 0) != 1) {
    refuse("the certificate that the CA sent may not be used by TLS servers");
  }
  return certificate;
}

}  // namespace postern::acme
