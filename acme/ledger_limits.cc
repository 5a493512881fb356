#include "acme/ledger_limits.h"

#include <algorithm>
#include <array>

#include "base/text.h"

namespace postern::acme {
namespace {

using namespace std::chrono_literals;
using Kind = LedgerEntry::Kind;
using Of = LedgerLimit::Of;
using Per = LedgerLimit::Per;
constexpr auto day = 24h;

// https://letsencrypt.org/docs/rate-limits/ (2026). Its refill times are ours rounded: 36 seconds, 202 minutes, 34
// hours, 12 minutes, a day, 18 minutes. Renewals of the same set are exempt where the table says so, those with
// `replaces` from everything; they still take a certificate from their set. Of new accounts the limit per address binds
// long before the 500 per IPv6 /48 do. Orders and failed validations are counted for each account, new accounts for the
// address that asks, and certificates for whoever orders them.
constexpr std::array production{
    LedgerLimit{"orders", "orders per account", Of::Account, Per::Nothing, Kind::Order, 300, 3h, true, false},
    LedgerLimit{"domain", "certificates per registered domain", Of::Everybody, Per::RegisteredDomain, Kind::Issuance,
                50, 7 * day, true, false},
    LedgerLimit{"set", "certificates per exact set", Of::Everybody, Per::Set, Kind::Issuance, 5, 7 * day, false, false},
    LedgerLimit{"failures", "failed validations of", Of::Account, Per::Identifier, Kind::FailedValidation, 5, 1h, false,
                false},
    LedgerLimit{"failures-in-a-row", "failed validations in a row of", Of::Account, Per::Identifier,
                Kind::FailedValidation, 1152, 1152 * day, false, true},
    LedgerLimit{"accounts", "new accounts", Of::Everybody, Per::Nothing, Kind::Account, 10, 3h, false, false},
};

// https://letsencrypt.org/docs/staging-environment/ (2026). 30,000 certificates per registered domain and second are
// none worth counting.
constexpr std::array staging{
    LedgerLimit{"orders", "orders per account", Of::Account, Per::Nothing, Kind::Order, 1500, 3h, true, false},
    LedgerLimit{"set", "certificates per exact set", Of::Everybody, Per::Set, Kind::Issuance, 30000, 7 * day, false,
                false},
    LedgerLimit{"failures", "failed validations of", Of::Account, Per::Identifier, Kind::FailedValidation, 200, 1h,
                false, false},
    LedgerLimit{"failures-in-a-row", "failed validations in a row of", Of::Account, Per::Identifier,
                Kind::FailedValidation, 3600, 6h, false, true},
    LedgerLimit{"accounts", "new accounts", Of::Everybody, Per::Nothing, Kind::Account, 50, 3h, false, false},
};

constexpr std::array known{
    LedgerFigures{"acme-v02.api.letsencrypt.org", production},
    LedgerFigures{"acme-staging-v02.api.letsencrypt.org", staging},
};

// Host of a URL, without port.
std::string hostOf(std::string_view url) {
  const auto scheme = url.find("://");
  if (scheme == std::string_view::npos) return {};
  url.remove_prefix(scheme + 3);
  return lower(url.substr(0, url.find_first_of(":/?#")));
}

}  // namespace

// The CA remembers for 120 days; a day less, so that no clock of ours takes a first order for a renewal.
const Duration renewalMemory = 119 * day;

// Two hours of a week, two minutes of three hours.
Duration LedgerLimit::margin() const {
  return std::clamp<Duration>(period / 84, 10s, 2h);
}

std::string limitsNameOf(const std::string& directoryUrl) {
  const LedgerFigures* figures = figuresOf(directoryUrl);
  return figures ? std::string(figures->host) : directoryUrl;
}

const LedgerFigures* figuresOf(std::string_view directoryUrl) {
  const std::string host = hostOf(directoryUrl);
  for (const auto& figures : known) {
    if (figures.host == host) return &figures;
  }
  return nullptr;
}

}  // namespace postern::acme
