// Storage: the cache directory of contract section 4. Accounts, keys, orders under way and generations of certificates,
// each on disk, synced, before it is acted upon.
//
//   <cache>/lock                                                        flock, with the holder's process id
//   <cache>/<directory host>-<8 hex of SHA-256 of the URL>/
//     directory.json                                                    the directory's meta object as last seen
//     accounts/<key thumbprint>/{privkey.pem,account.json}              acme/storage_account.cc
//     certificates/<16 hex of SHA-256 of the sorted names, joined by line feeds>/<primary name>/<key type>/
//                                                                       acme/certificate_folder.h
//
// One Storage per cache path and process: the constructor takes the flock of the folder. Any thread may call anything
// here; calls for one certificate are made by one order at a time. Failures to write throw Error "postern:storage".
// What cannot be read is set aside with a warning and treated as absent, never an end of renewals.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "acme/certificate_folder.h"
#include "acme/error.h"
#include "acme/ledger_file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/secret.h"
#include "tls/certified_key.h"

namespace postern::acme {

// Another process holds the cache's lock, or the folder cannot be made or written: what() names path, owner, mode,
// remedy.
struct StorageUnavailable : std::runtime_error {
  using runtime_error::runtime_error;
};

struct Account {
  std::string url;  // empty while the CA was not yet asked
  Secret key;       // PEM
  std::vector<std::string> contact;
  std::optional<Time> deactivated = {};  // by an administrator; no other account is made while it stands here
  Secret nextKey = Secret();             // PEM of a key rollover that the CA was asked for and that may have happened
  Time nextKeySince = {};
};

class Storage {
 public:
  // Creates the folder (0700) where it is missing, takes its lock and removes what a crash left half written. Throws
  // StorageUnavailable.
  Storage(std::filesystem::path cache, Log& log);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  const std::filesystem::path& path() const { return cache_; }

  // What `status`, a reload and the start need: does writing work (a probe file), before an order spends anything.
  void probeWritable() const;  // throws Error postern:storage

  // The account for a directory: the newest one readable. Nothing when there is none yet.
  std::optional<Account> account(const std::string& directoryUrl) const;
  // Writes everything but the next key, which has functions of its own below.
  void saveAccount(const std::string& directoryUrl, const Account& account);
  std::filesystem::path accountFolder(const std::string& directoryUrl, const Account& account) const;

  // A key rollover (RFC 8555 section 7.3.5). The next key is on disk before the CA is asked; then the CA has taken it,
  // and it is the account's, with the old one gone; or the CA has not, and it is dropped. `account` becomes what is on
  // disk.
  void saveNextKey(const std::string& directoryUrl, Account& account, Secret nextKey, Time now);
  void goOverToNextKey(const std::string& directoryUrl, Account& account);
  void dropNextKey(const std::string& directoryUrl, Account& account);

  // The directory's meta object as last seen (pitfall 14), null when never.
  Json directoryMeta(const std::string& directoryUrl) const;
  void saveDirectoryMeta(const std::string& directoryUrl, const Json& meta);

  // What was ordered and refused at a directory; one object for each, whoever asks.
  std::shared_ptr<LedgerFile> ledger(const std::string& directoryUrl);

  // The folder of a certificate; `names` with the primary first. Found by the hash of the set alone.
  std::shared_ptr<CertificateFolder> certificate(const std::string& directoryUrl, const std::vector<std::string>& names,
                                                 const std::string& keyType);

  // Every readable certificate of every directory and generation of this cache, for bestMeanwhile().
  std::vector<tls::CertifiedKeyRef> everything() const;
  // The same with the name of the directory's folder before each.
  std::vector<std::pair<std::string, tls::CertifiedKeyRef>> everythingByDirectory() const;

 private:
  void takeLock();
  void removeLeftovers() const;
  std::filesystem::path directoryFolder(const std::string& directoryUrl) const;

  const std::filesystem::path cache_;
  Log& log_;
  int lock_ = -1;
  mutable std::mutex mutex_;
  std::map<std::string, std::weak_ptr<LedgerFile>> ledgers_;
  std::unordered_map<std::string, std::weak_ptr<CertificateFolder>> folders_;  // by path; one object each, so one mutex
};

// "<directory host>-<8 hex of SHA-256 of the URL>"
std::string directoryFolderName(const std::string& directoryUrl);
// 16 hex of SHA-256 of the sorted names without doubles, joined by "\n"
std::string nameSetHash(std::vector<std::string> names);

}  // namespace postern::acme
