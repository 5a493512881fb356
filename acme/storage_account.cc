// The accounts of the cache: accounts/<key thumbprint>/{privkey.pem,account.json}. What account.json says besides URL
// and contact: "rollover_of" and "since" mark a key that the CA was only asked to take for the account of another key;
// "replaces" says that it has, so that the other folder counts no more, also when a crash left it; "deactivated" when.
#include <algorithm>
#include <set>
#include <utility>

#include "acme/cache_file.h"
#include "acme/jws.h"
#include "acme/storage.h"
#include "base/atomic_file.h"
#include "base/text.h"

namespace postern::acme {
namespace {

namespace fs = std::filesystem;

struct Found {
  std::string thumbprint;
  Json json;
  Secret key;
  fs::file_time_type time;
};

std::string thumbprintOf(const Secret& key) {
  return thumbprint(tls::keyFromPem(key).get());  // throws unless it is as an account key must be: EC P-256
}

// Those with a key; the URLs of those without go into `lost`.
std::vector<Found> readAccounts(const fs::path& accounts, std::vector<std::string>& lost, Log& log) {
  std::vector<Found> all;
  for (const auto& folder : foldersIn(accounts)) {
    Found found;
    found.json = readJsonOrSetAside(folder / "account.json", log);
    auto pem = readOrSetAside(folder / "privkey.pem", log);
    found.key = Secret(pem ? std::move(*pem) : std::string());
    try {
      if (!found.key.empty()) found.thumbprint = thumbprintOf(found.key);
    } catch (const std::runtime_error& error) {
      setAside(folder / "privkey.pem", error.what(), log);
    }
    if (found.thumbprint.empty()) {
      lost.push_back(found.json["url"].string());
      continue;
    }
    std::error_code ignored;
    found.time = fs::last_write_time(folder / "privkey.pem", ignored);
    all.push_back(std::move(found));
  }
  std::stable_sort(all.begin(), all.end(), [](const Found& a, const Found& b) { return a.time > b.time; });
  return all;
}

Account accountOf(const Found& found) {
  Account account{found.json["url"].string(), found.key, found.json["contact"].stringList()};
  account.deactivated = parseRfc3339(found.json["deactivated"].string());
  return account;
}

Json jsonOf(const std::string& directoryUrl, const Account& account) {
  Json json;
  json["url"] = account.url;
  json["contact"] = Json::strings(account.contact);
  json["directory"] = directoryUrl;
  if (account.deactivated) json["deactivated"] = rfc3339(*account.deactivated);
  return json;
}

}  // namespace

std::optional<Account> Storage::account(const std::string& directoryUrl) const {
  std::lock_guard lock(mutex_);
  std::vector<std::string> lost;
  const auto all = readAccounts(directoryFolder(directoryUrl) / "accounts", lost, log_);
  std::set<std::string> replaced;
  for (const auto& each : all) replaced.insert(each.json["replaces"].string());
  const auto isCandidate = [](const Found& each) { return !each.json["rollover_of"].string().empty(); };

  const auto newest = std::find_if(all.begin(), all.end(), [&](const Found& each) {
    return !isCandidate(each) && replaced.count(each.thumbprint) == 0;
  });
  const auto candidate = std::find_if(all.begin(), all.end(), [&](const Found& each) {
    return isCandidate(each) && (newest == all.end() || each.json["rollover_of"].string() == newest->thumbprint);
  });
  if (newest != all.end()) {
    Account account = accountOf(*newest);
    if (candidate != all.end()) {
      account.nextKey = candidate->key;
      account.nextKeySince = parseRfc3339(candidate->json["since"].string()).value_or(Time{});
    }
    return account;
  }
  if (candidate != all.end()) {
    // The key before it is lost: if the CA has taken this one, its URL is found by it.
    Account account = accountOf(*candidate);
    account.url.clear();
    return account;
  }
  if (!lost.empty()) {
    log_.warn("acme.account.key-lost",
              {{"directory", directoryUrl}, {"account", joined(lost)}, {"next", "a new account is made"}});
  }
  return {};
}

fs::path Storage::accountFolder(const std::string& directoryUrl, const Account& account) const {
  return directoryFolder(directoryUrl) / "accounts" / thumbprintOf(account.key);
}

void Storage::saveAccount(const std::string& directoryUrl, const Account& account) {
  std::lock_guard lock(mutex_);
  const fs::path folder = accountFolder(directoryUrl, account);
  const auto there = readOrSetAside(folder / "privkey.pem", log_);
  if (!there || *there != account.key.reveal()) writeCacheFile(folder / "privkey.pem", account.key.reveal());
  Json json = jsonOf(directoryUrl, account);
  if (const Json before = readJsonOrSetAside(folder / "account.json", log_); before["replaces"].isString()) {
    json["replaces"] = before["replaces"];
  }
  writeCacheFile(folder / "account.json", json.pretty());
}

void Storage::saveNextKey(const std::string& directoryUrl, Account& account, Secret nextKey, Time now) {
  std::lock_guard lock(mutex_);
  const fs::path folder = directoryFolder(directoryUrl) / "accounts" / thumbprintOf(nextKey);
  Json json = jsonOf(directoryUrl, account);
  json["rollover_of"] = thumbprintOf(account.key);
  json["since"] = rfc3339(now);
  // First what it is: a key without an account.json would pass for the account's.
  writeCacheFile(folder / "account.json", json.pretty());
  writeCacheFile(folder / "privkey.pem", nextKey.reveal());
  account.nextKey = std::move(nextKey);
  account.nextKeySince = now;
}

void Storage::goOverToNextKey(const std::string& directoryUrl, Account& account) {
  std::lock_guard lock(mutex_);
  const fs::path old = accountFolder(directoryUrl, account);
  Json json = jsonOf(directoryUrl, account);
  json["replaces"] = thumbprintOf(account.key);
  writeCacheFile(directoryFolder(directoryUrl) / "accounts" / thumbprintOf(account.nextKey) / "account.json",
                 json.pretty());
  account.key = std::exchange(account.nextKey, Secret());
  account.nextKeySince = {};
  std::error_code error;
  fs::remove_all(old, error);  // the CA knows it no more, and whoever has it shall find no use for it
  if (error) log_.warn("acme.account.old-key-stays", {{"path", old.string()}, {"error", error.message()}});
}

void Storage::dropNextKey(const std::string& directoryUrl, Account& account) {
  std::lock_guard lock(mutex_);
  const fs::path folder = directoryFolder(directoryUrl) / "accounts" / thumbprintOf(account.nextKey);
  removeCacheFile(folder / "privkey.pem");  // first: a key without an account.json would pass for the account's
  std::error_code ignored;
  fs::remove_all(folder, ignored);
  account.nextKey = Secret();
  account.nextKeySince = {};
}

}  // namespace postern::acme
