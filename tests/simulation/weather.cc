#include "tests/simulation/weather.h"

#include <algorithm>

namespace postern::simulation {
namespace {

using namespace std::chrono_literals;
using What = Happening::What;

// Whether certificates of a few days are about: an outage lasts a day at most then.
bool shortLived(const std::vector<Phase>& phases, Duration from, Duration to) {
  for (Duration at = from - day * 10; at <= to; at += day) {
    if (lifetimeAt(phases, std::max<Duration>(at, 0ms)) < shortLife) return true;
  }
  return false;
}

}  // namespace

std::vector<Phase> phasesOf(Duration time) {
  return {{0ms, day * 90},
          {time * 25 / 100, day * 64},
          {time * 45 / 100, day * 45},
          {time * 70 / 100, day * 6},
          {time * 80 / 100, day * 90},
          {time * 90 / 100, day * 6}};
}

Duration lifetimeAt(const std::vector<Phase>& phases, Duration after) {
  Duration lifetime = phases.front().lifetime;
  for (const auto& phase : phases) {
    if (phase.begins <= after) lifetime = phase.lifetime;
  }
  return lifetime;
}

std::vector<Happening> weather(std::uint64_t seed, int certificates, Duration time) {
  Dice dice(seed);
  const auto phases = phasesOf(time);
  std::vector<Happening> all;
  const auto spread = [&](Duration least, Duration most, auto&& happens) {
    for (Duration at = dice.between(0ms, most); at < time; at += dice.between(least, most)) happens(at);
  };
  spread(day * 8, day * 60, [&](Duration at) {
    const Duration longest = shortLived(phases, at, at + day * 3) ? day : day * 3;
    // One in three lasts as long as any may.
    const Duration lasts = dice.roll() < 1.0 / 3 ? longest : dice.between(10min, longest);
    all.push_back({What::Outage, at, lasts, dice.roll(), 0});
  });
  spread(day * 90, day * 400, [&](Duration at) {
    // Now and then all of them.
    const double share = dice.roll() < 0.25 ? 1.0 : dice.roll() * 0.3;
    all.push_back({What::Revocation, at, {}, share, 0});
  });
  spread(day * 20, day * 80, [&](Duration at) {
    all.push_back({What::WindowsMove, at, dice.between(-day * 5, day * 20), dice.roll() * 0.2, 0});
  });
  spread(day * 5, day * 25, [&](Duration at) {
    all.push_back({What::ClockJump, at, dice.between(-1h, 1h), 0, 0});
    all.push_back({What::ClockJump, at + dice.between(10min, day * 3), 0ms, 0, 0});
  });
  spread(day * 2, day * 20, [&](Duration at) { all.push_back({What::Restart, at, dice.between(1s, 30min), 0, 0}); });
  spread(day, day * 9, [&](Duration at) {
    all.push_back({What::NamesBreak, at, dice.between(30min, 18h), 0, dice.below(certificates)});
  });
  spread(day * 100, day * 300, [&](Duration at) {
    const int certificate = dice.below(certificates);
    // An impatient one: more often than the limit of equal certificates allows.
    for (int i = 0; i < 8; ++i) all.push_back({What::Force, at + 10min * i, {}, 0, certificate});
  });
  std::stable_sort(all.begin(), all.end(), [](const Happening& a, const Happening& b) { return a.at < b.at; });
  return all;
}

}  // namespace postern::simulation
