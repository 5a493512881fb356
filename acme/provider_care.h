// ProviderCare: one directory with one cache: its account, made once and shared by all orders, and the way an order
// goes from names to a certificate on disk.
//
// Any thread may call anything here. Sections with the same directory and cache share one of these. obtain() blocks on
// the network; nothing else does. It lives as long as a certificate is cared for with it.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "acme/client.h"
#include "acme/manager.h"
#include "acme/solver.h"
#include "acme/storage.h"

namespace postern::acme {

class ProviderCare {
 public:
  // Reads the account's URL from the cache and asks nobody. The parts outlive this object.
  ProviderCare(const Provider& provider, std::shared_ptr<Storage> storage, const Manager::Parts& parts);
  ProviderCare(const ProviderCare&) = delete;
  ProviderCare& operator=(const ProviderCare&) = delete;

  // Goes over to changed settings of the section; orders under way keep those they began with.
  void configure(const Provider& provider);
  // Of the settings that decide whether an order can succeed: what failed before may succeed after this has changed.
  std::string configurationDigest() const;

  Storage& storage() { return *storage_; }
  const std::string& directory() const { return directory_; }

  // One order (or the rest of one that a crash interrupted), by one type of challenge: the preferred one, after
  // `failedValidations` the next. Returns a verified certificate that is stored in `folder`. Throws Error or Stopped.
  tls::CertifiedKeyRef obtain(CertificateFolder& folder, const std::vector<std::string>& names, int failedValidations,
                              std::stop_token stop);

  // What an order's end says about the provider. A name that could not be validated says that it works.
  void succeeded();
  void failed(const Problem& problem, Time at);

  std::string accountUrl() const;  // "" when unknown
  // state and lastError; name and directory are the section's
  ProviderStatus status() const;

 private:
  // A client with its account; replaced whole when the account or the trust changes, while orders go on with theirs.
  struct Connection {
    std::shared_ptr<Transport> transport;
    std::unique_ptr<Client> client;
  };
  using ConnectionRef = std::shared_ptr<Connection>;

  // The connection with an account, made by one order while the others wait. `refused`: the one whose account the CA
  // does not know any more.
  ConnectionRef ready(std::stop_token stop, const ConnectionRef& refused = nullptr);
  ConnectionRef connect(const Provider& provider, std::shared_ptr<Transport> transport, const std::string& refusedUrl,
                        std::stop_token stop);
  void updateContact(Client& client, const Provider& provider, Account account, std::stop_token stop);
  std::string registered(Client& client, const Provider& provider, bool keyIsNew, std::stop_token stop);
  void noteMeta(const Json& meta);
  Solver& solverFor(const Provider& provider, int failedValidations);

  const std::string directory_;
  const std::shared_ptr<Storage> storage_;
  const Manager::Parts parts_;
  std::vector<std::unique_ptr<Solver>> solvers_;

  mutable std::mutex mutex_;  // guards what follows; never held during a request
  Provider provider_;
  unsigned long trust_ = 0;  // changes with ca-file
  std::shared_ptr<Transport> transport_;
  ConnectionRef connection_;
  std::string accountUrl_;
  std::condition_variable_any made_;
  bool making_ = false;
  unsigned long turn_ = 0;        // of making the connection
  std::optional<Error> notMade_;  // why the last turn failed
  ProviderStatus::State state_ = ProviderStatus::State::Unknown;
  std::optional<LastError> lastError_;
};

// A problem as `status` shows it.
LastError lastErrorOf(const Problem& problem, Time at);

}  // namespace postern::acme
