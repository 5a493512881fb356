// bench_pieces: Google Benchmark of the inner pieces of tls/: looking up a server name, building a context, taking a
// snapshot, making a connection, and a swap inside the process up to the first handshake.
#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/snapshot.h"
#include "tests/support/test_certificates.h"
#include "tests/support/tls_pair.h"
#include "tls/selection.h"
#include "tls/server_context.h"

namespace postern::bench {
namespace {

using testing::TestCa;

std::string host(long number) {
  return "host-" + std::to_string(number) + ".bench.example.test";
}

const TestCa& ca() {
  static const TestCa made;
  return made;
}
const tls::CertifiedKeyRef& someCertificate() {
  static const auto made = ca().issue({"mail.example.test"});
  return made;
}

// A store with `names` certificates and a context that shows them all beside its own.
class Listener {
 public:
  explicit Listener(long names) : own_(tls::acmeCertificate("bench", {"mail.example.test"})) {
    tls::ServingPlan plan;
    plan.listener = "bench";
    plan.policy = tls::intermediatePolicy();
    plan.alpn = {"imap"};
    plan.hostnames = {"mail.example.test"};
    plan.own = {own_};
    plan.meanwhile = {someCertificate(), "certificate:bench", {}};
    std::map<tls::CertificateId, tls::CertifiedKeyRef> all{{own_, someCertificate()}};
    for (long i = 0; i < names; ++i) {
      const auto id = tls::acmeCertificate("bench", {host(i)});
      plan.sni.push_back({host(i), id});
      all.emplace(id, someCertificate());
    }
    store_.publish(all);
    context_ = std::make_unique<tls::ServerContext>(plan, store_, tickets_, challenges_, log_);
  }

  void renew(tls::CertifiedKeyRef certificate) {
    store_.publish(own_, std::move(certificate));
    context_->refresh();
  }
  const tls::ServerContext& context() const { return *context_; }

 private:
  SystemClock clock_;
  Log log_{LogSettings{LogLevel::Error, LogFormat::Text, ""}};
  tls::CertificateStore store_;
  tls::TicketKeys tickets_{clock_};
  tls::AlpnChallenges challenges_;
  tls::CertificateId own_;
  std::unique_ptr<tls::ServerContext> context_;
};

tls::Selection selectionOf(long names) {
  std::vector<tls::Selection::Rule> rules;
  for (long i = 0; i < names; ++i) rules.push_back({host(i), someCertificate()});
  return {rules, {}, {}};
}

void sniLookup(benchmark::State& state) {
  const auto selection = selectionOf(state.range(0));
  std::vector<std::string> asked;
  for (long i = 0; i < 1024; ++i) asked.push_back(host(i * 7919 % state.range(0)));
  std::size_t turn = 0;
  for (auto _ : state) benchmark::DoNotOptimize(selection.find(asked[turn++ % asked.size()]));
}
BENCHMARK(sniLookup)->RangeMultiplier(10)->Range(10, 100000);

void sniLookupOfUnknownName(benchmark::State& state) {
  const auto selection = selectionOf(state.range(0));
  std::vector<std::string> asked;
  for (long i = 0; i < 1024; ++i) asked.push_back("nobody-" + std::to_string(i) + ".elsewhere.test");
  std::size_t turn = 0;
  for (auto _ : state) benchmark::DoNotOptimize(selection.find(asked[turn++ % asked.size()]));
}
BENCHMARK(sniLookupOfUnknownName)->RangeMultiplier(10)->Range(10, 100000);

void contextBuild(benchmark::State& state) {
  Listener listener(state.range(0));
  const std::vector<tls::CertifiedKeyRef> turns{ca().issue({"mail.example.test"}), ca().issue({"mail.example.test"})};
  std::size_t turn = 0;
  for (auto _ : state) listener.renew(turns[turn++ % 2]);
}
BENCHMARK(contextBuild)->RangeMultiplier(10)->Range(10, 100000)->Unit(benchmark::kMicrosecond);

void swapToFirstHandshake(benchmark::State& state) {
  Listener listener(state.range(0));
  const std::vector<tls::CertifiedKeyRef> turns{ca().issue({"mail.example.test"}), ca().issue({"mail.example.test"})};
  std::size_t turn = 0;
  for (auto _ : state) {
    const auto& next = turns[turn++ % 2];
    listener.renew(next);
    if (testing::shakeHands(listener.context()).serial != next->serial()) state.SkipWithError("the old certificate");
  }
}
BENCHMARK(swapToFirstHandshake)->Arg(0)->Arg(10000)->Unit(benchmark::kMicrosecond);

void certificateFromPem(benchmark::State& state) {
  const auto pem = ca().issuePem({"mail.example.test"});
  for (auto _ : state) benchmark::DoNotOptimize(tls::CertifiedKey::fromPem(pem.chain, pem.key));
}
BENCHMARK(certificateFromPem)->Unit(benchmark::kMicrosecond);

void snapshotTake(benchmark::State& state) {
  const Snapshot<int> snapshot(std::make_shared<const int>(1));
  for (auto _ : state) benchmark::DoNotOptimize(snapshot.load());
}
BENCHMARK(snapshotTake)->Threads(1)->Threads(2);

void newConnection(benchmark::State& state) {
  const Listener listener(10);
  for (auto _ : state) benchmark::DoNotOptimize(listener.context().newConnection());
}
BENCHMARK(newConnection)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace postern::bench
