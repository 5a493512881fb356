#include "tests/simulation/model_ca.h"

#include <algorithm>

namespace postern::simulation {
namespace {

using namespace std::chrono_literals;

Time wholeSeconds(Time time) {
  return std::chrono::floor<std::chrono::seconds>(time);
}

// Of the model's names, "host.domain.org".
std::string domainOf(const std::string& name) {
  return name.substr(name.find('.') + 1);
}

}  // namespace

// What is in the bucket now.
double ModelCa::fill(const std::string& key, double most, Duration period, Time now) {
  Bucket& bucket = buckets_.try_emplace(key, Bucket{most, now}).first->second;
  const double refilled = most * static_cast<double>((now - bucket.at).count()) / static_cast<double>(period.count());
  bucket.tokens = std::min(most, bucket.tokens + refilled);
  bucket.at = now;
  return bucket.tokens;
}

void ModelCa::spend(const std::string& key, double most, Duration period, Time now) {
  fill(key, most, period, now);
  double& tokens = buckets_.at(key).tokens;
  tokens = std::max(0.0, tokens - 1);
}

std::optional<ModelCa::Refusal> ModelCa::limited(const std::string& name, bool renewal, Time now) {
  std::optional<Refusal> refusal;
  const auto check = [&](const char* limit, const std::string& key, double most, Duration period) {
    const double tokens = fill(key, most, period, now);
    if (tokens > 1 - 1e-9) return;
    const auto wait = static_cast<Duration::rep>((1 - tokens) * static_cast<double>(period.count()) / most);
    const Time until = now + Duration(wait) + 1s;
    if (!refusal || refusal->retryAfter < until) refusal = Refusal{limit, until};
  };
  if (!renewal) {
    check("new orders per account", "account", 300, 3h);
    check("certificates per registered domain", "domain " + domainOf(name), 50, day * 7);
  }
  check("certificates per exact set", "set " + name, 5, day * 7);
  check("authorization failures", "failures " + name, 5, 1h);
  check("consecutive authorization failures", "in a row " + name, 1152, day * 1152);
  return refusal;
}

ModelCa::Answer ModelCa::newOrder(const std::string& name, std::optional<std::size_t> replaces, Time now) {
  const auto last = issued_.find(name);
  const bool renewal = last != issued_.end() && now < last->second + day * 120;
  bool exempt = false;
  if (replaces) {
    const CaCertificate& old = certificates_[*replaces];
    exempt = old.name == name && !old.replaced && old.windowStart <= now && now < old.windowEnd;
  }
  if (!exempt) {
    if (auto refusal = limited(name, renewal, now)) {
      ++refusals_[refusal->limit];
      return {std::move(refusal), 0};
    }
    if (!renewal) spend("account", 300, 3h, now);
  }
  ++made_;
  if (exempt) ++exempt_;
  orders_.push_back({name, replaces, {}, now, renewal});
  return {{}, orders_.size() - 1};
}

ModelCa::State ModelCa::stateOf(std::size_t order, Time now) const {
  const Order& asked = orders_[order];
  if (asked.certificate) return State::Valid;
  return asked.ended || asked.made + day * 7 <= now ? State::Gone : State::Pending;
}

std::size_t ModelCa::finalize(std::size_t order, Time now) {
  Order& ready = orders_[order];
  if (ready.certificate) return *ready.certificate;
  const Duration lifetime = lifetimeAt(phases_, now - start_);
  CaCertificate made;
  made.name = ready.name;
  made.notBefore = now - 1h;
  made.notAfter = made.notBefore + lifetime - 1s;
  const Duration ideal = lifetime < shortLife ? lifetime / 2 : lifetime * 2 / 3;
  made.windowStart = wholeSeconds(made.notBefore + ideal - lifetime / 50);
  made.windowEnd = wholeSeconds(made.notBefore + ideal + lifetime / 50);
  if (ready.replaces) certificates_[*ready.replaces].replaced = true;
  spend("set " + ready.name, 5, day * 7, now);
  if (!ready.renewal) spend("domain " + domainOf(ready.name), 50, day * 7, now);
  buckets_.erase("in a row " + ready.name);
  issued_[ready.name] = now;
  certificates_.push_back(std::move(made));
  ready.certificate = certificates_.size() - 1;
  return *ready.certificate;
}

void ModelCa::validationFailed(std::size_t order, Time now) {
  orders_[order].ended = true;
  if (fill("failures " + orders_[order].name, 5, 1h, now) < 1) ++failuresTooMany_;
  spend("failures " + orders_[order].name, 5, 1h, now);
  spend("in a row " + orders_[order].name, 1152, day * 1152, now);
}

void ModelCa::moveWindow(std::size_t number, Time start, Time end) {
  certificates_[number].windowStart = wholeSeconds(start);
  certificates_[number].windowEnd = wholeSeconds(end);
}

}  // namespace postern::simulation
