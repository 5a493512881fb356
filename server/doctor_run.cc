#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "acme/error.h"
#include "server/doctor.h"

namespace postern::server {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t atOnce = 32;
constexpr Duration afterStop = 3s;  // how soon a look has obeyed its stop token

// What the threads of one examineAll() share; the last of them, or of those that it left behind, frees it.
struct Round {
  std::vector<Examined> all;
  std::stop_source stop;
  std::mutex mutex;
  std::condition_variable ended;
  std::size_t next = 0, working = 0;  // this and what follows: under the mutex
  std::vector<std::optional<Findings>> found;
  std::vector<std::string> places;  // what each look touches
};

// Which look this thread does.
thread_local Round* roundHere = nullptr;
thread_local std::size_t lookHere = 0;

Findings cannot(const Examined& one, const std::string& why) {
  return {{Weight::Warning, one.check, one.subject, why, "try again, and see whether this stays"}};
}

Findings lookAt(const Examined& one, const std::stop_token& stop) {
  if (stop.stop_requested()) return cannot(one, "not looked at: there was no time left");
  try {
    return one.look(stop);
  } catch (const acme::Stopped&) {
    return cannot(one, "no answer in the time allowed");
  } catch (const std::exception& error) {
    return cannot(one, error.what());
  }
}

void work(const std::shared_ptr<Round>& round) {
  std::unique_lock lock(round->mutex);
  roundHere = round.get();
  while (round->next < round->all.size()) {
    const std::size_t each = lookHere = round->next++;
    lock.unlock();
    Findings findings = lookAt(round->all[each], round->stop.get_token());
    lock.lock();
    round->found[each] = std::move(findings);
  }
  roundHere = nullptr;
  --round->working;
  round->ended.notify_all();
}

}  // namespace

void lookingAt(const std::string& path) {
  if (roundHere == nullptr) return;
  std::lock_guard lock(roundHere->mutex);
  roundHere->places[lookHere] = path;
}

Findings examineAll(std::vector<Examined> all, Duration limit) {
  const auto round = std::make_shared<Round>();
  round->all = std::move(all);
  round->found.resize(round->all.size());
  round->places.resize(round->all.size());
  round->working = std::min(atOnce, round->all.size());
  for (std::size_t i = round->working; i > 0; --i) std::thread([round] { work(round); }).detach();
  std::unique_lock lock(round->mutex);
  const auto done = [&] { return round->working == 0; };
  if (!round->ended.wait_for(lock, limit, done)) {
    lock.unlock();  // callbacks of the stop token may want it
    round->stop.request_stop();
    lock.lock();
    round->ended.wait_for(lock, afterStop, done);
  }
  const std::size_t begun = std::exchange(round->next, round->all.size());  // who comes back finds nothing more to do
  Findings findings;
  for (std::size_t each = 0; each < round->all.size(); ++each) {
    const auto& one = round->all[each];
    if (round->found[each]) {
      findings.insert(findings.end(), round->found[each]->begin(), round->found[each]->end());
    } else if (each >= begun) {
      findings.push_back(cannot(one, "not looked at: there was no time left").front());
    } else if (round->places[each].empty()) {
      findings.push_back(cannot(one, "no answer in the time allowed").front());
    } else {
      findings.push_back(hungPath(round->places[each], limit));
    }
  }
  return findings;
}

}  // namespace postern::server
