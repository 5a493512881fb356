#include "acme/directory_source.h"

#include <utility>

#include "acme/answer.h"

namespace postern::acme {
namespace {

constexpr auto keptFor = std::chrono::hours(24);

}  // namespace

DirectorySource::DirectorySource(std::string url, Transport& transport, const Clock& clock, Log& log)
    : url_(std::move(url)), transport_(transport), clock_(clock), log_(log) {}

Directory DirectorySource::get(std::stop_token stop, Pace* pace) {
  std::unique_lock lock(mutex_);
  while (!fresh()) {
    if (fetching_) {
      if (!ended_.wait(lock, stop, [this] { return !fetching_; })) throw Stopped();
      if (failure_) throw Error(*failure_);
      continue;  // fetched, or the thread that fetched was stopped: then it is this one's turn
    }
    fetching_ = true;
    failure_.reset();
    lock.unlock();
    std::optional<Directory> fetched;
    std::optional<Error> failure;
    try {
      fetched = fetch(stop, pace);
    } catch (const Error& error) {
      failure = error;
    } catch (...) {
      lock.lock();
      fetching_ = false;
      ended_.notify_all();
      throw;
    }
    lock.lock();
    fetching_ = false;
    failure_ = failure;
    ended_.notify_all();
    if (failure) throw Error(*failure);
    directory_ = std::move(fetched);
    fetchedAt_ = clock_.now();
    std::string terms = directory_->meta["termsOfService"].string();
    if (!terms.empty() && terms != loggedTerms_) {
      log_.info("acme.terms", {{"directory", url_}, {"terms", terms}});
      loggedTerms_ = std::move(terms);
    }
  }
  return *directory_;
}

void DirectorySource::forget() {
  std::lock_guard lock(mutex_);
  directory_.reset();
}

// A clock that was set back makes it stale as well: it would be kept for as long as the clock was wrong.
bool DirectorySource::fresh() const {
  return directory_ && fetchedAt_ <= clock_.now() && clock_.now() < fetchedAt_ + keptFor;
}

Directory DirectorySource::fetch(std::stop_token stop, Pace* pace) {
  if (pace) pace->request(stop);
  if (stop.stop_requested()) throw Stopped();
  HttpRequest request;
  request.method = "GET";
  request.url = url_;
  HttpResponse response = transport_.send(request, stop);
  if (response.status != 200) throw refusal(response, "the directory", clock_.now());
  return parseDirectory(jsonObject(response, "the directory"));
}

}  // namespace postern::acme
