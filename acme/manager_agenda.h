// Agenda: when each certificate is decided about next, and which of those that are due waits for its provider.
//
// So that the manager's work is in proportion to what happens, and not to how many certificates there are: its deciding
// thread goes over those whose time has come and those that something was done to, no others. A certificate has one
// time here, and waits in one line of one provider or in none: those that have failed before stand in a line of their
// own, so that the others can be let past them. What is due longest comes first, orders before questions, and among
// equals the one that came first.
//
// Not thread-safe: the manager's lock guards it. It owns nothing: a certificate is removed before it is freed.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <utility>

#include "base/clock.h"

namespace postern::acme {

class ProviderCare;
struct ManagedCertificate;

class Agenda {
 public:
  // Of a certificate, kept inside it.
  class Place {
    friend class Agenda;
    std::uint64_t number_ = 0;  // in the order in which they came; 0: never was here
    bool planned_ = false;
    bool question_ = false;
    Time at_{}, due_{};
    bool again_ = false;
    const ProviderCare* provider_ = nullptr;  // that it waits for
  };
  // Whether a provider has a slot free for those that have failed before (`again`), or for the others.
  using HasSlot = std::function<bool(const ProviderCare& provider, bool again)>;

  // Decides about it at this time, no matter what was planned before.
  void plan(ManagedCertificate& managed, Time at);
  // Of those planned the first, if its time has come; it stays planned.
  ManagedCertificate* due(Time now) const;
  Time next() const;  // the time of the first; Time::max() when there is none

  // It waits for a slot of this provider, and of no other; `again`: it has failed before.
  void await(ManagedCertificate& managed, const ProviderCare& provider, bool again, bool question, Time due);
  void awaitNone(ManagedCertificate& managed);
  // The first one of all lines that have a slot.
  ManagedCertificate* first(const HasSlot& hasSlot) const;

  void remove(ManagedCertificate& managed);

 private:
  struct Sooner {
    bool operator()(const ManagedCertificate* a, const ManagedCertificate* b) const;
  };
  struct Before {
    bool operator()(const ManagedCertificate* a, const ManagedCertificate* b) const;
  };

  std::set<ManagedCertificate*, Sooner> planned_;
  std::map<std::pair<const ProviderCare*, bool>, std::set<ManagedCertificate*, Before>> waiting_;
  std::uint64_t last_ = 0;
};

}  // namespace postern::acme
