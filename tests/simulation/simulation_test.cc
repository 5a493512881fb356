#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <ctime>
#include <iostream>
#include <numeric>
#include <vector>

#include "tests/simulation/world.h"

// Whether its processor time is that of what is installed: optimised, and without a sanitizer.
#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#if !defined(__has_feature)
#define POSTERN_TIMED 1
#elif !(__has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer))
#define POSTERN_TIMED 1
#endif
#endif
#ifndef POSTERN_TIMED
#define POSTERN_TIMED 0
#endif

namespace postern::simulation {
namespace {

using namespace std::chrono_literals;

// Runs a world and prints what came of it.
Figures live(int certificates, Duration time, std::uint64_t seed, Habits habits = {}) {
  const auto before = std::chrono::steady_clock::now();
  Figures figures = World(certificates, time, seed, habits).run();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - before;
  std::cout << certificates << " certificates, " << time / day << " days, seed " << seed << ", " << took.count()
            << " s:\n"
            << figures.text();
  return figures;
}

void expectEveryPromiseKept(const Figures& figures, int certificates) {
  EXPECT_EQ(figures.issued, certificates);
  EXPECT_EQ(figures.expired, 0);
  EXPECT_EQ(figures.refusals(), 0);
  EXPECT_EQ(figures.failuresTooMany, 0);
  EXPECT_GT(figures.ratio(), 0.9);
  EXPECT_LT(figures.ratio(), 1.1);
}

TEST(Simulation, OfAThousandCertificatesForTenYearsKeepsEveryPromise) {
  const std::clock_t begun = std::clock();
  const Figures figures = live(1000, year * 10, 1);
  // Of the processor, so that a neighbour on the machine does not matter.
  const double seconds = static_cast<double>(std::clock() - begun) / CLOCKS_PER_SEC;
  std::cout << "processor time: " << seconds << " s\n";
  if (POSTERN_TIMED != 0) {
    EXPECT_LT(seconds, 60);
  }
  expectEveryPromiseKept(figures, 1000);
  // It was no fair weather.
  EXPECT_EQ(figures.longestOutage, day * 3);
  EXPECT_GT(figures.outages, 50);
  EXPECT_GT(figures.revoked, 1000);
  EXPECT_GT(figures.clockJumps, 200);
  EXPECT_GT(figures.restarts, 200);
  EXPECT_GT(figures.namesBroken, 500);
  EXPECT_GT(figures.failed, 1000u);
  for (const int days : {90, 64, 45, 6}) {
    ASSERT_EQ(figures.byDays.count(days), 1u) << days;
    const auto& of = figures.byDays.at(days);
    EXPECT_GT(static_cast<double>(of.orders), of.ideal * 0.9) << days;
    EXPECT_LT(static_cast<double>(of.orders), of.ideal * 1.1) << days;
  }
}

class SimulationOf : public ::testing::TestWithParam<std::uint64_t> {};

TEST_P(SimulationOf, AHundredCertificatesForTenYearsKeepsEveryPromise) {
  expectEveryPromiseKept(live(100, year * 10, GetParam()), 100);
}

// 2 to 9, or as many as POSTERN_SEEDS says.
std::vector<std::uint64_t> seeds() {
  const char* const count = std::getenv("POSTERN_SEEDS");
  std::vector<std::uint64_t> all(count ? std::strtoul(count, nullptr, 10) : 8);
  std::iota(all.begin(), all.end(), 2);
  return all;
}

INSTANTIATE_TEST_SUITE_P(Seed, SimulationOf, ::testing::ValuesIn(seeds()));

TEST(Simulation, WithoutRenewalInformationKeepsEveryPromiseByTheLifetimeAlone) {
  Habits habits;
  habits.ariThere = false;
  const Figures figures = live(300, year * 10, 21, habits);
  expectEveryPromiseKept(figures, 300);
  EXPECT_EQ(figures.byAri, 0u);
}

TEST(Simulation, IsTheSameForTheSameSeed) {
  EXPECT_EQ(live(30, year * 3, 11).text(), live(30, year * 3, 11).text());
  EXPECT_NE(live(30, year * 3, 11).text(), live(30, year * 3, 12).text());
}

// What shows that it can fail.
TEST(Simulation, FindsOutWhoRenewsAtTheLastMoment) {
  Habits habits;
  habits.renewsAtLeft = 0.01;
  EXPECT_GT(live(100, year * 4, 1, habits).expired, 0);
}

TEST(Simulation, FindsOutWhoRenewsTooOften) {
  Habits habits;
  habits.renewsAtLeft = 0.6;
  EXPECT_GT(live(100, year * 4, 1, habits).ratio(), 1.1);
}

TEST(Simulation, FindsOutWhoKeepsNoLedger) {
  Habits habits;
  habits.heedsLimits = false;
  const Figures figures = live(1000, day * 200, 1, habits);
  EXPECT_GT(figures.refused.count("new orders per account"), 0u);
  EXPECT_GT(figures.refused.count("certificates per registered domain"), 0u);
}

TEST(Simulation, FindsOutWhoHeedsNeitherLedgerNorBackOff) {
  Habits habits;
  habits.heedsLimits = habits.heedsBackOff = false;
  const Figures figures = live(300, year * 2, 1, habits);
  EXPECT_GT(figures.failuresTooMany, 0);
  EXPECT_GT(figures.refused.count("certificates per exact set"), 0u);
}

}  // namespace
}  // namespace postern::simulation
