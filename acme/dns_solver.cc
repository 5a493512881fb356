#include "acme/dns_solver.h"

#include <arpa/inet.h>

#include <array>
#include <exception>

#include "acme/dns_hook.h"
#include "acme/dns_propagation.h"
#include "acme/dns_update.h"
#include "acme/error.h"
#include "base/encoding.h"
#include "tls/openssl.h"

namespace postern::acme {
namespace {

using Needed = DnsSolver::Needed;

// One record that is up. Every way out of an order leads through its destructor.
class Shown : public Presented {
 public:
  Shown(TxtRecord record, std::unique_ptr<DnsMethod> method, DnsLookup lookup, const DnsSettings& settings,
        Clock& clock, Log& log, std::shared_ptr<Needed> needed, std::stop_token stop)
      : record_(std::move(record)),
        method_(std::move(method)),
        lookup_(std::move(lookup)),
        settings_(settings),
        clock_(clock),
        log_(log),
        needed_(std::move(needed)),
        stop_(std::move(stop)) {
    std::lock_guard lock(needed_->mutex);
    ++needed_->records[key()].holders;
  }
  Shown(const Shown&) = delete;
  Shown& operator=(const Shown&) = delete;
  ~Shown() override {
    try {
      if (isLeftToUs()) method_->remove(record_, stop_);
    } catch (const std::exception& error) {
      log_.warn("acme.dns.record.left", {{"record", record_.name},
                                         {"error", error.what()},
                                         {"remedy", "remove the TXT record by hand; it does no harm"}});
    }
  }

  // Also when another order has set it already: setting it twice changes nothing.
  void add() {
    try {
      method_->add(record_, stop_);
    } catch (const NothingChanged&) {
      throw;
    } catch (...) {
      setMayBeThere();
      throw;
    }
    setMayBeThere();
  }

  void awaitVisible(std::stop_token stop) override {
    Propagation(lookup_, settings_, clock_, log_).await(record_, std::move(stop));
  }

 private:
  std::pair<std::string, std::string> key() const { return {record_.name, record_.value}; }
  void setMayBeThere() {
    std::lock_guard lock(needed_->mutex);
    needed_->records[key()].mayBeThere = true;
  }
  // True when there is something to remove that nobody else needs.
  bool isLeftToUs() {
    std::lock_guard lock(needed_->mutex);
    const auto found = needed_->records.find(key());
    if (--found->second.holders > 0) return false;
    const bool mayBeThere = found->second.mayBeThere;
    needed_->records.erase(found);
    return mayBeThere;
  }

  const TxtRecord record_;
  const std::unique_ptr<DnsMethod> method_;
  const DnsLookup lookup_;
  const DnsSettings settings_;
  Clock& clock_;
  Log& log_;
  const std::shared_ptr<Needed> needed_;
  const std::stop_token stop_;
};

bool isAddress(const std::string& identifier) {
  std::array<unsigned char, 16> buffer{};
  return ::inet_pton(AF_INET, identifier.c_str(), buffer.data()) == 1 ||
         ::inet_pton(AF_INET6, identifier.c_str(), buffer.data()) == 1;
}

}  // namespace

std::string dnsChallengeValue(const std::string& keyAuthorization) {
  std::array<unsigned char, 32> digest{};
  if (EVP_Digest(keyAuthorization.data(), keyAuthorization.size(), digest.data(), nullptr, EVP_sha256(), nullptr) !=
      1) {
    throw Error(makeProblem("postern:dns", "cannot hash the key authorization"));
  }
  return base64Url(std::string(digest.begin(), digest.end()));
}

DnsSolver::DnsSolver(const Provider& provider, Clock& clock, Log& log, Surroundings surroundings)
    : provider_(provider.name),
      settings_(provider.dns),
      clock_(clock),
      log_(log),
      surroundings_(std::move(surroundings)) {}

std::unique_ptr<Presented> DnsSolver::present(const ChallengeAnswer& answer, std::stop_token stop) {
  if (isAddress(answer.identifier)) {
    throw Error(makeProblem("postern:challenge", "dns-01 cannot validate an IP address", answer.identifier));
  }
  const std::string base = answer.identifier.starts_with("*.") ? answer.identifier.substr(2) : answer.identifier;
  const std::string own = "_acme-challenge." + normalizedDnsName(base);
  try {
    DnsLookup lookup(settings_.server, surroundings_(), log_, stop);
    TxtRecord record{lookup.followed(own, stop), dnsChallengeValue(answer.keyAuthorization),
                     static_cast<std::uint32_t>(settings_.ttl.count())};
    if (record.name != own) log_.info("acme.dns.delegated", {{"record", own}, {"to", record.name}});
    auto method = methodFor(answer, lookup);
    auto shown = std::make_unique<Shown>(std::move(record), std::move(method), std::move(lookup), settings_, clock_,
                                         log_, needed_, stop);
    shown->add();
    return shown;
  } catch (Error& error) {
    error.problem.name = answer.identifier;  // what the order knows; the detail names the record
    throw;
  }
}

std::unique_ptr<DnsMethod> DnsSolver::methodFor(const ChallengeAnswer& answer, const DnsLookup& lookup) const {
  switch (settings_.method) {
    case DnsSettings::Method::Rfc2136:
      return std::make_unique<DnsUpdate>(settings_.server, lookup.server(),
                                         TsigKey{settings_.key, settings_.algorithm, settings_.secret}, log_);
    case DnsSettings::Method::Hook:
      return std::make_unique<DnsHook>(settings_.hook,
                                       std::map<std::string, std::string>{{"POSTERN_PROVIDER", provider_},
                                                                          {"POSTERN_IDENTIFIER", answer.identifier}},
                                       log_);
    case DnsSettings::Method::None: break;
  }
  throw Error(makeProblem("postern:dns", "dns.provider of acme." + provider_ + " is not set", answer.identifier));
}

}  // namespace postern::acme
