// ModelCa: a CA of certificate facts: orders, windows and Let's Encrypt's production limits, without cryptography.
//
// It shares no line with acme/ledger: buckets that fill by the clock, counted where the CA counts them, so that each
// checks the other. Time is the true one and comes in.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "tests/simulation/weather.h"

namespace postern::simulation {

struct CaCertificate {
  std::string name;  // of its one name; the set
  Time notBefore, notAfter;
  Time windowStart, windowEnd;  // of ARI, whole seconds
  bool replaced = false;
};

class ModelCa {
 public:
  explicit ModelCa(std::vector<Phase> phases, Time start) : phases_(std::move(phases)), start_(start) {}

  struct Refusal {
    std::string limit;
    Time retryAfter;
  };
  struct Answer {
    std::optional<Refusal> refusal;
    std::size_t order = 0;
  };
  // `replaces`: a certificate's number.
  Answer newOrder(const std::string& name, std::optional<std::size_t> replaces, Time now);
  enum class State { Pending, Valid, Gone };
  State stateOf(std::size_t order, Time now) const;
  // The order's certificate: issued now, or the one that it already has.
  std::size_t finalize(std::size_t order, Time now);
  void validationFailed(std::size_t order, Time now);  // which ends it

  const CaCertificate& certificate(std::size_t number) const { return certificates_[number]; }
  void moveWindow(std::size_t number, Time start, Time end);

  std::uint64_t orders() const { return made_; }
  std::uint64_t exempt() const { return exempt_; }  // of these, by ARI
  const std::map<std::string, int>& refusals() const { return refusals_; }
  int failuresTooMany() const { return failuresTooMany_; }  // validations of a name, by whatever orders

 private:
  struct Bucket {
    double tokens;
    Time at;
  };
  struct Order {
    std::string name;
    std::optional<std::size_t> replaces, certificate;
    Time made;
    bool renewal, ended = false;
  };
  double fill(const std::string& key, double most, Duration period, Time now);
  void spend(const std::string& key, double most, Duration period, Time now);
  std::optional<Refusal> limited(const std::string& name, bool renewal, Time now);

  std::vector<Phase> phases_;
  Time start_;
  std::vector<CaCertificate> certificates_;
  std::vector<Order> orders_;
  std::unordered_map<std::string, Bucket> buckets_;
  std::unordered_map<std::string, Time> issued_;
  std::map<std::string, int> refusals_;
  std::uint64_t made_ = 0, exempt_ = 0;
  int failuresTooMany_ = 0;
};

}  // namespace postern::simulation
