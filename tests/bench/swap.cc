// Swap: the mode that shows what clients notice of a certificate being replaced: nothing, it is hoped.
#include <algorithm>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

#include "base/json.h"
#include "tests/bench/crowd.h"
#include "tests/bench/modes.h"
#include "tests/bench/swapper.h"

namespace postern::bench {
namespace {

class Load {
 public:
  explicit Load(const SwapOptions& options)
      : options_(options),
        context_(clientContext(TLS1_3_VERSION, options.ca)),
        smtp_{dialogueNamed("smtp"), localServer(options.smtpPort), context_.get()},
        imaps_{dialogueNamed("imaps"), localServer(options.imapsPort), context_.get()},
        swapper_(options) {}

  int run();

 private:
  const Target& targetOf(int number) const { return number % 2 == 0 ? smtp_ : imaps_; }
  void openIdle();
  void keepFirstSessions();
  void underLoad();
  void resumeFirstSessions();
  void askIdle();
  Json result();
  void lookAt(const Swap& swap, const Swap* next);

  const SwapOptions options_;
  const tls::SslCtxPtr context_;
  const Target smtp_, imaps_;
  Swapper swapper_;
  Crowd crowd_;
  std::vector<Visitor*> idle_, clients_;
  std::vector<SessionPtr> first_;
  std::vector<Visit> visits_;
  std::string error_;

  long idleLost_ = 0, firstResumed_ = 0, failed_ = 0, stale_ = 0, failedSwaps_ = 0;
  std::vector<double> latency_, call_;
};

void Load::openIdle() {
  // SMTP alone: a server may end an IMAP session that does not log in, and the bench may last longer than that.
  for (int i = 0; i < options_.idle; ++i) idle_.push_back(&crowd_.add(smtp_));
  std::size_t begun = 0, ended = 0;
  const auto beginNext = [&] {
    if (begun < idle_.size()) idle_[begun++]->begin(false, true);
  };
  for (int i = 0; i < options_.clients; ++i) beginNext();
  crowd_.run(
      [&](Visitor& visitor) {
        ++ended;
        if (!visitor.visit().ok) throw std::runtime_error("no idle session: " + visitor.visit().error);
        beginNext();
      },
      [&] { return ended == idle_.size(); });
}

void Load::keepFirstSessions() {
  for (int i = 0; i < 2; ++i) clients_.push_back(&crowd_.add(targetOf(i)));
  for (auto* client : clients_) client->begin(false);
  std::size_t ended = 0;
  crowd_.run([&](Visitor&) { ++ended; }, [&] { return ended == clients_.size(); });
  for (auto* client : clients_) {
    SSL_SESSION* const session = client->session();
    if (session && SSL_SESSION_up_ref(session) == 1) first_.emplace_back(session);
  }
}

void Load::underLoad() {
  std::size_t away = 0;
  for (int i = 2; i < options_.clients; ++i) clients_.push_back(&crowd_.add(targetOf(i)));
  for (auto* client : clients_) client->begin(false);
  swapper_.start();
  bool ending = false;
  crowd_.run(
      [&](Visitor& visitor) {
        const Visit& visit = visitor.visit();
        visits_.push_back(visit);
        if (visit.ok && !visit.resumed) swapper_.saw(visit.serial);
        if (ending) {
          ++away;
        } else {
          visitor.begin(!visit.offered);  // every second one resumes
        }
      },
      [&] {
        ending = ending || swapper_.done();
        return away == clients_.size();
      });
}

// Sessions from before the first swap, after the last one.
void Load::resumeFirstSessions() {
  std::size_t ended = 0;
  for (std::size_t i = 0; i < first_.size(); ++i) {
    clients_[i]->giveSession(std::move(first_[i]));
    clients_[i]->begin(true);
  }
  crowd_.run(
      [&](Visitor& visitor) {
        ++ended;
        if (visitor.visit().ok && visitor.visit().resumed) ++firstResumed_;
      },
      [&] { return ended == first_.size(); });
}

void Load::askIdle() {
  std::size_t ended = 0;
  const auto over = [&](Visitor& visitor) {
    ++ended;
    if (visitor.visit().ok) return;
    ++idleLost_;
    if (error_.empty()) error_ = "idle session: " + visitor.visit().error;
  };
  for (auto* visitor : idle_) {
    visitor->ask(visitor->target().dialogue.noop);
    if (visitor->happened()) over(*visitor);
  }
  crowd_.run(over, [&] { return ended == idle_.size(); });
}

// Goes through the visits between this swap and the next one.
void Load::lookAt(const Swap& swap, const Swap* next) {
  if (!swap.error.empty()) {
    ++failedSwaps_;
    if (error_.empty()) error_ = "swap: " + swap.error;
    return;
  }
  call_.push_back(milliseconds(swap.call));
  auto first = Moment::max();
  for (const Visit& visit : visits_) {
    if (!visit.ok || visit.resumed) continue;
    if (visit.serial == swap.serial) {
      if (visit.shook >= swap.asked && visit.shook < first) first = visit.shook;
    } else if (!options_.control.empty() && visit.connected > swap.returned &&
               (!next || visit.serial != next->serial)) {
      ++stale_;  // the next one's may be there already: its files were noticed while this handshake waited
    }
  }
  if (first != Moment::max()) latency_.push_back(milliseconds(first - swap.asked));
}

Json Load::result() {
  std::vector<Swap> swaps = swapper_.take();
  for (const Visit& visit : visits_) {
    if (visit.ok) continue;
    ++failed_;
    if (error_.empty()) error_ = visit.error;
  }
  // A swap's visits lie close together: only those are looked through.
  std::vector<Visit> all = std::move(visits_);
  std::sort(all.begin(), all.end(), [](const Visit& a, const Visit& b) { return a.began < b.began; });
  const auto after = [&](Moment moment) {
    return std::lower_bound(all.begin(), all.end(), moment,
                            [](const Visit& visit, Moment when) { return visit.began < when; });
  };
  constexpr std::chrono::seconds longestVisit{2};
  for (std::size_t i = 0; i < swaps.size(); ++i) {
    const Swap* const next = i + 1 < swaps.size() ? &swaps[i + 1] : nullptr;
    visits_.clear();
    std::copy_if(after(swaps[i].asked - longestVisit), next ? after(next->asked) : all.end(),
                 std::back_inserter(visits_),
                 [&](const Visit& visit) { return !next || visit.connected < next->asked; });
    lookAt(swaps[i], next);
  }
  long across = 0, acrossResumed = 0;
  for (const Visit& visit : all) {
    if (!visit.ok || !visit.offered) continue;
    const bool crossed = std::any_of(swaps.begin(), swaps.end(), [&](const Swap& swap) {
      return swap.error.empty() && visit.sessionSince < swap.asked && swap.returned < visit.connected;
    });
    if (!crossed) continue;
    ++across;
    if (visit.resumed) ++acrossResumed;
  }
  return Json::Object{{"swaps", static_cast<long>(swaps.size())},
                      {"failed_swaps", failedSwaps_},
                      {"visits", static_cast<long>(all.size())},
                      {"failed", failed_},
                      {"error", error_},
                      {"stale", stale_},
                      {"latency_ms", quantile(latency_, 0.5)},
                      {"latency_p99_ms", quantile(latency_, 0.99)},
                      {"latency_max_ms", quantile(latency_, 1)},
                      {"call_ms", quantile(call_, 0.5)},
                      {"idle", static_cast<long>(idle_.size())},
                      {"idle_lost", idleLost_},
                      {"across", across},
                      {"across_resumed", acrossResumed},
                      {"first_resumed", firstResumed_}};
}

int Load::run() {
  openIdle();
  keepFirstSessions();
  sayReady();
  underLoad();
  resumeFirstSessions();
  askIdle();
  std::cout << result().dump() << std::endl;
  return 0;
}

}  // namespace

int swaps(const SwapOptions& options) {
  return Load(options).run();
}

}  // namespace postern::bench
