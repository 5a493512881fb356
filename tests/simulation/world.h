// World: one server and its CA through years of weather, event by event.
//
// The server decides with Postern's own code: CertificateCare for each certificate, one Ledger, the rules of renewal
// information. What the manager does around them (at most eight orders at a time, the one due longest first; a wake at
// the time that was decided; state that survives the process) is done here the same way, without threads and disk.
// There are two clocks: the true one, which the CA and everybody's clients have, and the server's, which is off at
// times.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "acme/certificate_care.h"
#include "acme/ledger.h"
#include "tests/simulation/model_ca.h"
#include "tests/simulation/weather.h"

namespace postern::simulation {

// How the server behaves. The defaults are Postern's; the others show that the simulation finds out.
struct Habits {
  std::optional<double> renewsAtLeft;  // this share of the lifetime, whatever the rules say
  bool heedsLimits = true;
  bool heedsBackOff = true;
  bool ariThere = true;  // the CA has renewal information
};

struct Figures {
  struct OfLifetime {
    std::uint64_t orders = 0;  // that replaced, or were to replace, a certificate of this lifetime
    double ideal = 0;          // the time these were held ÷ two thirds of it, or half
    Duration leastLeft = Duration::max();
  };
  std::map<int, OfLifetime> byDays;
  std::uint64_t events = 0, questions = 0, orders = 0, first = 0, forced = 0, byAri = 0, resumed = 0, failed = 0;
  std::uint64_t passed = 0;  // went out against the ledger, since the certificate would have expired
  int outages = 0, revocations = 0, revoked = 0, windowsMoved = 0, clockJumps = 0, restarts = 0, namesBroken = 0;
  int issued = 0;   // certificates that were first issued: all
  int expired = 0;  // served beyond their end
  Duration longestOutage{}, longestRevoked{}, longestFirst{};
  std::map<std::string, int> refused;  // by limit
  int failuresTooMany = 0;             // failed validations of a name beyond five an hour, also where ARI is exempt

  std::uint64_t renewals() const;
  double ideal() const;
  double ratio() const { return static_cast<double>(renewals()) / ideal(); }
  int refusals() const;
  std::string text() const;
};

class World {
 public:
  World(int certificates, Duration time, std::uint64_t seed, Habits habits = {});
  Figures run();

 private:
  struct Managed {
    std::string name;
    std::unique_ptr<acme::CertificateCare> care;  // null while the server is down, or nobody wants it yet
    std::optional<std::size_t> held;              // the CA's number
    std::optional<std::size_t> pending;           // what the journal holds: the CA's number of the order
    std::optional<acme::CertificateCare::Attempt> underWay;
    std::optional<ModelCa::Refusal> refusal;  // of the order under way
    bool reached = true;                      // the CA was, when the order under way began
    Time wantedFrom, heldFrom, brokenUntil, endedAt;
    std::optional<Time> revokedAt;
    std::uint64_t version = 0;  // of what is planned
    Time dueAt;                 // by the server's clock, as planned
    unsigned wakes = 0;
  };
  struct Event {
    Time at;
    std::uint64_t number;
    enum class What { Wake, End, Up, Want } what;
    int certificate;
    std::uint64_t version;
    bool operator<(const Event& other) const { return std::pair(at, number) > std::pair(other.at, other.number); }
  };

  void happen(const Happening& happening);
  void take(const Event& event);
  void push(Time at, Event::What what, int certificate);
  void planAll();
  void plan(int certificate);
  bool onlyAsked(int certificate);
  void pushWake(const Managed& managed, int certificate);
  acme::CertificateCare::Attempt next(const Managed& managed) const;
  Time earliest(const Managed& managed, acme::OrderKind kind) const;
  void record(const Managed& managed, acme::LedgerEntry::Kind kind, acme::OrderKind order);
  bool ask(Managed& managed);
  void begin(int certificate, const acme::CertificateCare::Attempt& attempt);
  bool order(Managed& managed, const acme::CertificateCare::Attempt& attempt);
  void end(int certificate);
  void finish(Managed& managed, const acme::CertificateCare::Attempt& attempt);
  void fail(Managed& managed, const acme::Problem& problem, std::optional<Time> retryAfter);
  void kill(Duration downFor);
  void start();
  void open(Managed& managed);
  void noteHeld(Managed& managed, Time until);

  Time serversNow() const { return now_ + offset_; }
  bool outage() const { return now_ < outageUntil_; }
  std::optional<acme::CertificateCare::Held> heldBy(const Managed& managed) const;

  const Time start_, end_;
  const std::vector<Phase> phases_;
  const std::vector<Happening> weather_;
  const Habits habits_;
  ModelCa ca_;
  Dice dice_;
  std::unique_ptr<acme::Ledger> ledger_;
  mutable std::optional<acme::Ledger> beside_;  // with the first orders under way, as acme/order_gate has it
  std::vector<Managed> managed_;
  std::priority_queue<Event> events_;
  std::set<int> firstUnderWay_;
  std::set<std::pair<Time, int>> waiting_;  // due, while eight others are under way
  Time now_;
  Duration offset_{};
  Time outageUntil_{};
  bool outageSaysWhen_ = false;
  bool down_ = false;
  int working_ = 0;
  std::uint64_t number_ = 0;
  Figures figures_;
};

}  // namespace postern::simulation
