// Storage: the cache directory of contract section 4. Accounts, keys, orders under way and generations of certificates,
// each on disk, synced, before it is acted upon.
//
// One Storage per cache path and process: the constructor takes the flock of the folder. Any thread may call anything
// here; calls for one certificate are made by one order at a time. Failures to write throw Error "postern:storage".
// What cannot be read is set aside with a warning and treated as absent, never an end of renewals.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "acme/error.h"
#include "acme/journal.h"
#include "base/json.h"
#include "base/log.h"
#include "base/secret.h"
#include "tls/certified_key.h"

namespace postern::acme {

// Another process holds the cache's lock, or the folder cannot be made or written: what() names path, owner, mode, remedy.
struct StorageUnavailable : std::runtime_error {
  using runtime_error::runtime_error;
};

struct Account {
  std::string url;  // empty while the CA was not yet asked
  Secret key;       // PEM
  std::vector<std::string> contact;
};

// Attempts at one certificate, remembered across restarts (pitfall 27).
struct AttemptHistory {
  int failures = 0;                        // in a row
  std::optional<Time> lastAttempt;
  std::optional<Time> lastIssued;
  std::optional<Time> notBefore;           // no attempt before: back-off or Retry-After
  std::optional<Problem> lastError;
  std::optional<Time> lastErrorAt;
  bool operator==(const AttemptHistory&) const = default;
};

// What belongs to one certificate of one directory: its generations, its pending order and its history.
class CertificateFolder;

class Storage {
 public:
  // Creates the folder (0700) where it is missing and takes its lock. Throws StorageUnavailable.
  Storage(std::filesystem::path cache, Log& log);
  ~Storage();

  const std::filesystem::path& path() const { return cache_; }

  // What `status`, a reload and the start need: does writing work (a probe file), before an order spends anything.
  void probeWritable() const;  // throws Error postern:storage

  // The account for a directory: the newest one readable. Nothing when there is none yet.
  std::optional<Account> account(const std::string& directoryUrl) const;
  void saveAccount(const std::string& directoryUrl, const Account& account);

  // The directory's meta object as last seen (pitfall 14), null when never.
  Json directoryMeta(const std::string& directoryUrl) const;
  void saveDirectoryMeta(const std::string& directoryUrl, const Json& meta);

  // The folder of a certificate; `names` with the primary first. Found by the hash of the set alone.
  std::shared_ptr<CertificateFolder> certificate(const std::string& directoryUrl, const std::vector<std::string>& names,
                                                 const std::string& keyType);

  // Every readable certificate of every directory and generation of this cache, for bestMeanwhile().
  std::vector<tls::CertifiedKeyRef> everything() const;

 private:
  std::filesystem::path cache_;
  Log& log_;
  int lock_ = -1;
};

class CertificateFolder : public Journal {
 public:
  CertificateFolder(std::filesystem::path path, Log& log);

  // The newest generation that is whole and fits; a damaged one is passed over with a warning. Null when none.
  tls::CertifiedKeyRef load() const;
  // Key, chain and metadata become the current generation together; the oldest beyond three goes; the pending order and
  // its key are forgotten.
  void store(const tls::CertifiedKey& certificate, const Json& metadata);

  // The key of the order under way, made and kept on first use: before the CSR and, for the self-signed certificate,
  // before there is an order.
  tls::KeyPtr pendingKey(tls::KeyType type);

  // Journal: the order under way.
  std::optional<std::string> pendingOrder() const override;
  void rememberOrder(const std::string& orderUrl) override;
  void forgetOrder() override;

  AttemptHistory history() const;
  void saveHistory(const AttemptHistory& history);

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  Log& log_;
};

}  // namespace postern::acme
