// Weather: everything that happens to a server and its CA in ten years, drawn beforehand from a seed.
//
// Values; the same seed gives the same weather, whatever the server makes of it.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "base/clock.h"

namespace postern::simulation {

inline constexpr Duration day = std::chrono::hours(24);
inline constexpr Duration year = day * 365;

// Chance, the same on every machine.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : engine_(seed) {}
  double roll() { return static_cast<double>(engine_() >> 11) * 0x1.0p-53; }  // in [0,1)
  Duration between(Duration least, Duration most) {
    return least + Duration(static_cast<Duration::rep>(static_cast<double>((most - least).count()) * roll()));
  }
  int below(int count) { return static_cast<int>(roll() * count); }

 private:
  std::mt19937_64 engine_;
};

// The lifetimes that the CA gives out, one after the other.
struct Phase {
  Duration begins;  // after the start
  Duration lifetime;
};
std::vector<Phase> phasesOf(Duration time);
Duration lifetimeAt(const std::vector<Phase>& phases, Duration after);
inline constexpr Duration shortLife = day * 10;  // below it, half of the lifetime is used instead of two thirds

struct Happening {
  enum class What {
    Outage,       // the CA is not reached, or says 503 with Retry-After, for `time`
    Revocation,   // the CA revokes a `share` of all certificates: their windows move to now
    WindowsMove,  // the windows of a `share` move by `time`
    ClockJump,    // the server's clock is off by `time` from now on
    Restart,      // the server is killed, and back after `time`
    NamesBreak,   // the name of one certificate cannot be validated for `time`
    Force         // an administrator orders one certificate anew
  } what;
  Duration at;  // after the start
  Duration time{};
  double share = 0;
  int certificate = 0;
};

// By time.
std::vector<Happening> weather(std::uint64_t seed, int certificates, Duration time);

}  // namespace postern::simulation
