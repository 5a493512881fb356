#include "acme/certificate_folder.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <utility>

#include "acme/cache_file.h"
#include "base/atomic_file.h"
#include "base/fault_point.h"

namespace postern::acme {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t generationsKept = 3;

// The number that a generation's name begins with; 0 when it is none. `whole`: nothing may follow it.
long numberOf(const fs::path& name, bool whole) {
  const std::string text = name.string();
  long number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || number <= 0) return 0;
  return whole && end != text.data() + text.size() ? 0 : number;
}

tls::CertifiedKeyRef readGeneration(const fs::path& folder) {
  auto key = readFile(folder / "privkey.pem");
  if (!key) throw tls::Error("privkey.pem is missing");
  const auto chain = readFile(folder / "fullchain.pem");
  if (!chain) throw tls::Error("fullchain.pem is missing");
  return tls::CertifiedKey::fromPem(*chain, Secret(std::move(*key)));
}

std::vector<fs::path> namesIn(const fs::path& folder) {
  std::vector<fs::path> names;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    names.push_back(entry->path().filename());
  }
  return names;
}

// A folder beside the generations that is renamed once it is whole, or removed.
class UnfinishedFolder {
 public:
  explicit UnfinishedFolder(const fs::path& beside) {
    std::string name = (beside / ".new.XXXXXX").string();
    if (POSTERN_STEP_FAILS("make the folder") || mkdtemp(name.data()) == nullptr || chmod(name.c_str(), 0700) != 0) {
      const int error = errno;
      throw SystemError("cannot create a folder in " + beside.string(), error);
    }
    path_ = name;
  }
  UnfinishedFolder(const UnfinishedFolder&) = delete;
  UnfinishedFolder& operator=(const UnfinishedFolder&) = delete;
  ~UnfinishedFolder() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  const fs::path& path() const { return path_; }
  void becomes(const fs::path& path) {
    fsyncDirectory(path_);
    renameDurably(path_, path);
    path_.clear();
  }

 private:
  fs::path path_;
};

Json toJson(const Problem& problem) {
  Json json;
  json["type"] = problem.type;
  json["detail"] = problem.detail;
  json["name"] = problem.name;
  json["status"] = problem.status;
  Json::Array subproblems;
  for (const auto& each : problem.subproblems) subproblems.push_back(toJson(each));
  json["subproblems"] = std::move(subproblems);
  return json;
}

Problem problemFrom(const Json& json) {
  Problem problem;
  problem.type = json["type"].string();
  problem.detail = json["detail"].string();
  problem.name = json["name"].string();
  problem.status = static_cast<int>(json["status"].integer());
  for (const auto& each : json["subproblems"].array()) problem.subproblems.push_back(problemFrom(each));
  return problem;
}

Json toJson(const std::optional<Time>& time) {
  return time ? Json(rfc3339(*time)) : Json();
}
std::optional<Time> timeFrom(const Json& json) {
  return parseRfc3339(json.string());
}
int countFrom(const Json& json) {
  return static_cast<int>(std::clamp<std::int64_t>(json.integer(), 0, 1'000'000));
}

}  // namespace

CertificateFolder::CertificateFolder(const fs::path& path, Log& log) : path_(path.string()), log_(log) {}

std::vector<long> CertificateFolder::generations() const {
  std::vector<long> numbers;
  for (const auto& name : namesIn(path() / "generations")) {
    if (const long number = numberOf(name, true)) numbers.push_back(number);
  }
  std::sort(numbers.rbegin(), numbers.rend());
  return numbers;
}

fs::path CertificateFolder::generation(long number) const {
  return path() / "generations" / std::to_string(number);
}

long CertificateFolder::highestNumber() const {
  // Those set aside count: a number is never used twice.
  long highest = 0;
  for (const auto& name : namesIn(path() / "generations")) highest = std::max(highest, numberOf(name, false));
  return highest;
}

tls::CertifiedKeyRef CertificateFolder::load() const {
  std::lock_guard lock(mutex_);
  const auto numbers = generations();
  for (const long number : numbers) {
    tls::CertifiedKeyRef found;
    try {
      found = readGeneration(generation(number));
    } catch (const SystemError& error) {
      if (passing(error)) {
        log_.warn("acme.cache.unreadable", {{"path", generation(number).string()}, {"error", error.what()}});
      } else {
        setAside(generation(number), error.what(), log_);
      }
      continue;
    } catch (const tls::Error& error) {
      setAside(generation(number), error.what(), log_);
      continue;
    }
    pointTo(number);
    if (numbers.size() > generationsKept) prune();  // a crash may have left one too many
    try {
      if (pendingIsDone(number, found->key())) forgetPending();
    } catch (const SystemError&) {
    } catch (const tls::Error&) {
      // Whoever needs the pending key finds out, and sets it aside.
    }
    return found;
  }
  return nullptr;
}

std::vector<tls::CertifiedKeyRef> CertificateFolder::loadAll() const {
  std::lock_guard lock(mutex_);
  std::vector<tls::CertifiedKeyRef> all;
  for (const long number : generations()) {
    try {
      all.push_back(readGeneration(generation(number)));
    } catch (const SystemError&) {
    } catch (const tls::Error&) {
      // load() warns about it and sets it aside where it matters.
    }
  }
  return all;
}

// A crash between the new generation and the end of its order: the order has nothing more to give. Where keys are
// reused, the order alone tells.
bool CertificateFolder::pendingIsDone(long number, EVP_PKEY* key) const {
  const auto pending = readFile(path() / "pending-key.pem");
  if (!pending || EVP_PKEY_eq(tls::keyFromPem(Secret(*pending)).get(), key) != 1) return false;
  const auto order = readFile(path() / "pending-order.json");
  const auto metadata = readFile(generation(number) / "metadata.json");
  if (!order) return true;
  const std::string ended = Json::parse(metadata.value_or("")).value_or(Json())["order"].string();
  return ended.empty() || ended == Json::parse(*order).value_or(Json())["order"].string();
}

void CertificateFolder::store(const tls::CertifiedKey& certificate, const Json& metadata) {
  std::lock_guard lock(mutex_);
  const long number = highestNumber() + 1;
  storing([&] {
    createDirectories(path() / "generations", 0700);
    UnfinishedFolder next(path() / "generations");
    writeNewFile(next.path() / "privkey.pem", tls::keyToPem(certificate.key()).reveal(), 0600);
    writeNewFile(next.path() / "fullchain.pem", certificate.chainPem(), 0600);
    writeNewFile(next.path() / "metadata.json", metadata.pretty(), 0600);
    next.becomes(generation(number));
  });
  // From here the certificate is safe, and load() finds it. What fails now is a warning: an error would be counted as a
  // failed order, and the next one would buy the same again.
  pointTo(number);
  forgetPending();
  prune();
}

void CertificateFolder::pointTo(long number) const {
  const fs::path link = path() / "current";
  const fs::path target = fs::path("generations") / std::to_string(number);
  std::error_code error;
  if (fs::read_symlink(link, error) == target) return;
  if (const auto found = fs::symlink_status(link, error); fs::exists(found) && !fs::is_symlink(found)) {
    setAside(link, "it is not a link", log_);
  }
  try {
    flipLink(link, target);
  } catch (const SystemError& failed) {
    log_.warn("acme.cache.unwritable", {{"path", link.string()}, {"error", failed.what()}});
  }
}

void CertificateFolder::forgetPending() const {
  try {
    removeCacheFile(path() / "pending-order.json");
    removeCacheFile(path() / "pending-key.pem");
  } catch (const Error& error) {
    log_.warn("acme.cache.unwritable", {{"path", path_}, {"error", error.problem.detail}});
  }
}

void CertificateFolder::prune() const {
  const auto numbers = generations();
  std::error_code error;
  for (std::size_t i = generationsKept; i < numbers.size(); ++i) {
    // Out of the way first: a crash in the middle of removing must not leave half a generation.
    const fs::path old = path() / "generations" / (".old." + std::to_string(numbers[i]));
    POSTERN_FAULT_POINT("move the oldest generation away");
    fs::rename(generation(numbers[i]), old, error);
    POSTERN_FAULT_POINT("remove the oldest generation");
    if (!error) fs::remove_all(old, error);
    if (error) {
      log_.warn("acme.cache.unwritable", {{"path", generation(numbers[i]).string()}, {"error", error.message()}});
    }
  }
}

void CertificateFolder::dropPending() {
  std::lock_guard lock(mutex_);
  removeCacheFile(path() / "pending-order.json");
  removeCacheFile(path() / "pending-key.pem");
}

tls::KeyPtr CertificateFolder::pendingKey(tls::KeyType type, EVP_PKEY* reused) {
  std::lock_guard lock(mutex_);
  const fs::path file = path() / "pending-key.pem";
  if (auto pem = readOrSetAside(file, log_)) {
    try {
      return tls::keyFromPem(Secret(std::move(*pem)));
    } catch (const tls::Error& error) {
      setAside(file, error.what(), log_);
    }
  }
  // An order that was finalized with the lost key can only give a certificate nobody can use.
  removeCacheFile(path() / "pending-order.json");
  tls::KeyPtr key = reused != nullptr ? tls::share(reused) : tls::generateKey(type);
  writeCacheFile(file, tls::keyToPem(key.get()).reveal());
  return key;
}

std::optional<std::string> CertificateFolder::pendingOrder() const {
  std::lock_guard lock(mutex_);
  const std::string url = readJsonOrSetAside(path() / "pending-order.json", log_)["order"].string();
  return url.empty() ? std::nullopt : std::optional(url);
}

std::optional<Time> CertificateFolder::pendingSince() const {
  std::lock_guard lock(mutex_);
  return timeFrom(readJsonOrSetAside(path() / "pending-order.json", log_)["since"]);
}

void CertificateFolder::rememberOrder(const std::string& orderUrl, Time now) {
  std::lock_guard lock(mutex_);
  Json json;
  json["since"] = rfc3339(now);
  json["order"] = orderUrl;  // no other file calls it so: in the place of this one it must lead nowhere
  writeCacheFile(path() / "pending-order.json", json.pretty());
}

void CertificateFolder::forgetOrder() {
  std::lock_guard lock(mutex_);
  removeCacheFile(path() / "pending-order.json");
}

AttemptHistory CertificateFolder::history() const {
  std::lock_guard lock(mutex_);
  const Json json = readJsonOrSetAside(path() / "history.json", log_);
  AttemptHistory history;
  history.failures = countFrom(json["failures"]);
  history.alike = countFrom(json["alike"]);
  history.validations = countFrom(json["validations"]);
  history.turns = countFrom(json["turns"]);
  history.lastAttempt = timeFrom(json["last_attempt"]);
  history.lastIssued = timeFrom(json["last_issued"]);
  history.notBefore = timeFrom(json["not_before"]);
  if (json["last_error"].isObject()) history.lastError = problemFrom(json["last_error"]);
  history.lastErrorAt = timeFrom(json["last_error_at"]);
  history.configuration = json["configuration"].string();
  history.lastAriOrder = timeFrom(json["last_ari_order"]);
  history.newKey = json["new_key"].boolean();
  history.revokedSerial = json["revoked_serial"].string();
  return history;
}

void CertificateFolder::saveHistory(const AttemptHistory& history) {
  std::lock_guard lock(mutex_);
  Json json;
  json["failures"] = history.failures;
  json["alike"] = history.alike;
  json["validations"] = history.validations;
  json["turns"] = history.turns;
  json["last_attempt"] = toJson(history.lastAttempt);
  json["last_issued"] = toJson(history.lastIssued);
  json["not_before"] = toJson(history.notBefore);
  json["last_error"] = history.lastError ? toJson(*history.lastError) : Json();
  json["last_error_at"] = toJson(history.lastErrorAt);
  json["configuration"] = history.configuration;
  json["last_ari_order"] = toJson(history.lastAriOrder);
  json["new_key"] = history.newKey;
  json["revoked_serial"] = history.revokedSerial;
  writeCacheFile(path() / "history.json", json.pretty());
}

std::optional<RenewalInfo> CertificateFolder::renewalInfo() const {
  std::lock_guard lock(mutex_);
  const Json json = readJsonOrSetAside(path() / "renewal-info.json", log_);
  RenewalInfo info;
  info.certificateId = json["certificate_id"].string();
  const auto askAgain = timeFrom(json["ask_again"]);
  if (info.certificateId.empty() || !askAgain) return std::nullopt;
  info.start = timeFrom(json["start"]);
  info.end = timeFrom(json["end"]);
  info.pick = timeFrom(json["pick"]);
  info.explanationUrl = json["explanation_url"].string();
  info.askAgain = *askAgain;
  return info;
}

void CertificateFolder::saveRenewalInfo(const RenewalInfo& info) {
  std::lock_guard lock(mutex_);
  Json json;
  json["certificate_id"] = info.certificateId;
  json["start"] = toJson(info.start);
  json["end"] = toJson(info.end);
  json["pick"] = toJson(info.pick);
  json["explanation_url"] = info.explanationUrl;
  json["ask_again"] = rfc3339(info.askAgain);
  writeCacheFile(path() / "renewal-info.json", json.pretty());
}

}  // namespace postern::acme
