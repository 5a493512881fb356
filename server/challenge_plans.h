// Where a CA's challenges arrive, read off the Settings: which listeners answer them, which further addresses must be
// opened for them, and what an administrator is told about it. Pure functions.
#pragma once

#include <string>
#include <vector>

#include "acme/provider.h"
#include "config/settings.h"
#include "listeners/settings.h"

namespace postern::server {

// Whether the listener answers acme-tls/1: implicit TLS, bound to the challenge port of any provider.
bool answersChallenges(const config::ListenerConfig& listener, const config::Settings& settings);

// An address on which a challenge-only listener is needed, and the providers that need it: those with a certificate to
// get by this type of challenge (TlsAlpn01 or Http01), on whose port no listener answers it.
struct ChallengeAddress {
  listeners::Address address;
  acme::ChallengeType type = acme::ChallengeType::TlsAlpn01;
  std::vector<std::string> providers;
  bool operator==(const ChallengeAddress&) const = default;
};
std::vector<ChallengeAddress> challengeAddresses(const config::Settings& settings);

// Where a CA that validates a provider's names by `type` (TlsAlpn01 or Http01) must arrive: "[::]:443", or several,
// "192.0.2.1:443 or [::1]:443".
std::string challengeTarget(const acme::Provider& provider, const config::Settings& settings,
                            acme::ChallengeType type = acme::ChallengeType::TlsAlpn01);

// What a CA will look at to validate `name`, for each of the provider's types that can, in their order: "port 443 of
// mail.example.org; it must reach [::]:443", "TXT record _acme-challenge.mail.example.org".
std::vector<std::string> challengeArrivals(const std::string& name, const acme::Provider& provider,
                                           const config::Settings& settings);

}  // namespace postern::server
