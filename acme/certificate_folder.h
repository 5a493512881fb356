// CertificateFolder: what belongs to one certificate of one directory: its generations, the order under way with its
// key, and the history of attempts. Contract section 4; the folder is .../<primary name>/<key type>/:
//
//   generations/<n>/{privkey.pem,fullchain.pem,metadata.json}   each appears whole or not at all
//   current -> generations/<n>                                  for other programs; load() goes by the generations
//   pending-order.json, pending-key.pem, history.json, renewal-info.json   each replaced whole
//
// Any thread may call anything here; calls for one certificate's order are made by one order at a time. Nothing is
// created before something is written. Failures to write throw Error "postern:storage"; what cannot be read is set
// aside with a warning and treated as absent.
#pragma once

#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "acme/error.h"
#include "acme/journal.h"
#include "acme/renewal_info.h"
#include "base/json.h"
#include "base/log.h"
#include "tls/certified_key.h"

namespace postern::acme {

// Attempts at one certificate, remembered across restarts (pitfall 27).
struct AttemptHistory {
  int failures = 0;     // in a row
  int alike = 0;        // of these, the last ones in a row of one class
  int validations = 0;  // of these, failed validations, which CAs count
  int turns = 0;        // failures after which another type of challenge may do better
  std::optional<Time> lastAttempt;
  std::optional<Time> lastIssued;
  std::optional<Time> notBefore;  // no attempt before: back-off or Retry-After
  std::optional<Problem> lastError;
  std::optional<Time> lastErrorAt;
  std::string configuration;         // digest of the provider's settings at the last attempt
  std::optional<Time> lastAriOrder;  // when the CA's window alone led to a certificate
  bool newKey = false;               // the last certificate was revoked: the next is not for its key
  std::string revokedSerial;         // of that one; another one in its folder is its successor
  bool operator==(const AttemptHistory&) const = default;
};

class CertificateFolder : public Journal {
 public:
  CertificateFolder(const std::filesystem::path& path, Log& log);

  // The newest generation that is whole and fits; a damaged one is set aside with a warning. Null when none. Ends what
  // a crash interrupted: `current` points to what was loaded, and the pending order of a key that has its certificate
  // is forgotten.
  tls::CertifiedKeyRef load() const;
  // Every generation that can be read, newest first; changes nothing.
  std::vector<tls::CertifiedKeyRef> loadAll() const;
  // Key, chain and metadata become the current generation together; the oldest beyond three goes; the pending order and
  // its key are forgotten.
  void store(const tls::CertifiedKey& certificate, const Json& metadata);

  // The key of the order under way, made and kept on first use: before the CSR and, for the self-signed certificate,
  // before there is an order. `reused`: taken instead of a new one where no key is pending yet.
  tls::KeyPtr pendingKey(tls::KeyType type, EVP_PKEY* reused = nullptr);
  // The order under way and its key are given up.
  void dropPending();

  // Journal: the order under way.
  std::optional<std::string> pendingOrder() const override;
  std::optional<Time> pendingSince() const override;
  void rememberOrder(const std::string& orderUrl, Time now) override;
  void forgetOrder() override;

  AttemptHistory history() const;
  void saveHistory(const AttemptHistory& history);

  // What the CA told about the certificate's renewal, with the pick inside its window.
  std::optional<RenewalInfo> renewalInfo() const;
  void saveRenewalInfo(const RenewalInfo& info);

  std::filesystem::path path() const { return path_; }

 private:
  std::vector<long> generations() const;  // numbers, newest first
  std::filesystem::path generation(long number) const;
  long highestNumber() const;
  void pointTo(long number) const;
  void forgetPending() const;
  bool pendingIsDone(long number, EVP_PKEY* key) const;
  void prune() const;

  const std::string path_;  // a path takes five times as much, and there are thousands of folders
  Log& log_;
  mutable std::mutex mutex_;
};

}  // namespace postern::acme
