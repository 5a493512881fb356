#include "tls/names.h"

#include <arpa/inet.h>

#include "base/text.h"
#include "tls/certified_key.h"

namespace postern::tls {

std::string addressBytes(std::string_view name) {
  const std::string text(name);
  in_addr four{};
  in6_addr six{};
  if (inet_pton(AF_INET, text.c_str(), &four) == 1) return {reinterpret_cast<const char*>(&four), sizeof four};
  if (inet_pton(AF_INET6, text.c_str(), &six) == 1) return {reinterpret_cast<const char*>(&six), sizeof six};
  return {};
}

std::string normalisedName(std::string_view name) {
  if (name.ends_with('.')) name.remove_suffix(1);
  const std::string bytes = addressBytes(name);
  if (bytes.empty()) return lower(name);
  char text[INET6_ADDRSTRLEN];
  inet_ntop(bytes.size() == 4 ? AF_INET : AF_INET6, bytes.data(), text, sizeof text);
  return text;
}

std::string wildcardFor(std::string_view name) {
  const auto dot = name.find('.');
  if (dot == std::string_view::npos || dot == 0 || name.starts_with("*.") || !addressBytes(name).empty()) return {};
  return "*" + std::string(name.substr(dot));
}

ChainPtr issuersOf(const CertifiedKey& certificate) {
  ChainPtr issuers(sk_X509_new_null());
  if (!issuers) fail("cannot hold a certificate chain");
  for (const auto& each : certificate.issuers()) {
    CertPtr issuer = share(each.get());
    if (sk_X509_push(issuers.get(), issuer.get()) <= 0) fail("cannot hold a certificate chain");
    issuer.release();
  }
  return issuers;
}

}  // namespace postern::tls
