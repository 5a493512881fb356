// Plans: what the rooms are to do, read off the Settings. Pure functions; nothing is opened, bound or asked. Where
// challenges arrive is in challenge_plans.h.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "acme/manager.h"
#include "config/load.h"
#include "config/settings.h"
#include "server/challenge_plans.h"
#include "tls/certificate_store.h"
#include "tls/server_context.h"

namespace postern::server {

// Every provider, and every certificate that a listener or a provider's `domains` wants. A listener without TLS puts no
// name into an order.
acme::Plan acmePlan(const config::Settings& settings);

// What a listener is to serve, without what is served meanwhile (`meanwhile` is empty).
tls::ServingPlan servingPlan(const config::ListenerConfig& listener, const config::Settings& settings);

// The static certificates, parsed; what is wrong with them goes into `diagnostics` with the section's place: a pair
// that is broken is an error, one that is expired or does not cover the hostname of a listener that uses it a warning.
std::map<tls::CertificateId, tls::CertifiedKeyRef> staticCertificates(const config::Loaded& loaded, Time now,
                                                                      config::Diagnostics& diagnostics);

// Builds every listener's SSL_CTX once and drops it, so that a policy that this OpenSSL cannot serve is found at load.
void tryPolicies(const config::Loaded& loaded, config::Diagnostics& diagnostics);

}  // namespace postern::server
