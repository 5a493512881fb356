#include "acme/provider_care.h"

#include <algorithm>
#include <utility>

#include "acme/issuance.h"
#include "acme/renewal.h"
#include "acme/tls_alpn_solver.h"
#include "base/text.h"

namespace postern::acme {

ProviderCare::ProviderCare(const Provider& provider, std::shared_ptr<Storage> storage, const Manager::Parts& parts)
    : directory_(provider.directory), storage_(std::move(storage)), parts_(parts), provider_(provider) {
  solvers_.push_back(std::make_unique<TlsAlpnSolver>(parts_.challenges, parts_.clock));
  try {
    if (const auto account = storage_->account(directory_)) accountUrl_ = account->url;
  } catch (const Error& error) {
    // The first order reads it again, and fails with a reason if it still cannot.
    parts_.log.warn("acme.account.unreadable", {{"directory", directory_}, {"error", error.problem.detail}});
  }
}

void ProviderCare::configure(const Provider& provider) {
  std::lock_guard lock(mutex_);
  if (provider.caFile != provider_.caFile) {
    transport_.reset();
    connection_.reset();
    ++trust_;
  }
  if (provider.contact != provider_.contact) connection_.reset();  // made anew, it tells the CA
  provider_ = provider;
}

std::string ProviderCare::configurationDigest() const {
  std::lock_guard lock(mutex_);
  std::vector<std::string> parts = provider_.contact;
  parts.push_back(provider_.caFile);
  parts.push_back(provider_.challengeBind);
  parts.push_back(std::to_string(provider_.port));
  for (const auto type : provider_.challenge) parts.push_back(std::to_string(static_cast<int>(type)));
  return nameSetHash(std::move(parts));
}

tls::CertifiedKeyRef ProviderCare::obtain(CertificateFolder& folder, const std::vector<std::string>& names,
                                          int failedValidations, std::stop_token stop) {
  Provider provider;
  {
    std::lock_guard lock(mutex_);
    provider = provider_;
  }
  ConnectionRef connection = ready(stop);
  Solver& solver = solverFor(provider, failedValidations);
  const auto attempt = [&] {
    IssuanceRequest request;
    request.names = names;
    request.key = folder.pendingKey(tls::KeyType::EcdsaP256);
    return Issuance(*connection->client, solver, folder, parts_.clock, parts_.log, std::move(request)).run(stop);
  };
  tls::CertifiedKeyRef certificate;
  try {
    certificate = attempt();
  } catch (const Error& error) {
    if (error.problem.shortType() != "accountDoesNotExist") throw;
    // A CA that lost its accounts has lost their orders too. Registered anew within this attempt, but only once.
    folder.forgetOrder();
    connection = ready(stop, connection);
    certificate = attempt();
  }
  Json metadata;
  metadata["directory"] = directory_;
  metadata["names"] = Json::strings(names);
  metadata["serial"] = certificate->serial();
  metadata["issuer"] = certificate->issuer();
  metadata["not_before"] = rfc3339(certificate->notBefore());
  metadata["not_after"] = rfc3339(certificate->notAfter());
  metadata["issued_at"] = rfc3339(parts_.clock.now());
  folder.store(*certificate, metadata);
  return certificate;
}

Solver& ProviderCare::solverFor(const Provider& provider, int failedValidations) {
  if (!provider.challenge.empty()) {
    const auto type = provider.challenge[static_cast<std::size_t>(failedValidations) % provider.challenge.size()];
    for (const auto& solver : solvers_) {
      if (solver->type() == type) return *solver;
    }
  }
  return *solvers_.front();
}

ProviderCare::ConnectionRef ProviderCare::ready(std::stop_token stop, const ConnectionRef& refused) {
  std::unique_lock lock(mutex_);
  for (;;) {
    if (connection_ && connection_ != refused) return connection_;
    if (!making_) break;
    const auto turn = turn_;
    made_.wait(lock, stop, [&] { return turn_ != turn; });
    if (stop.stop_requested()) throw Stopped();
    // One failure to register is a failure of every order that waited for it, not a request of each.
    if (notMade_) throw Error(*notMade_);
  }
  making_ = true;
  notMade_.reset();
  const std::string refusedUrl = refused ? refused->client->accountUrl() : "";
  connection_.reset();
  const Provider provider = provider_;
  const auto trust = trust_;
  auto transport = transport_;
  lock.unlock();

  ConnectionRef made;
  std::optional<Error> failure;
  std::exception_ptr other;
  try {
    if (!transport) transport = parts_.transports(provider);
    made = connect(provider, transport, refusedUrl, stop);
  } catch (const Error& error) {
    failure = error;
  } catch (...) {
    other = std::current_exception();
  }

  lock.lock();
  making_ = false;
  ++turn_;
  notMade_ = failure;
  if (made) accountUrl_ = made->client->accountUrl();
  if (trust_ == trust) {  // else ca-file has changed meanwhile
    transport_ = transport;
    connection_ = made;
  }
  made_.notify_all();
  lock.unlock();
  if (failure) throw Error(*failure);
  if (other) std::rethrow_exception(other);
  return made;
}

ProviderCare::ConnectionRef ProviderCare::connect(const Provider& provider, std::shared_ptr<Transport> transport,
                                                  const std::string& refusedUrl, std::stop_token stop) {
  auto connection = std::make_shared<Connection>();
  connection->client = std::make_unique<Client>(directory_, *transport, parts_.clock, parts_.log);
  connection->transport = std::move(transport);
  Client& client = *connection->client;

  std::optional<Account> account = storage_->account(directory_);
  const bool keyIsNew = !account;
  if (!account) {
    // On disk before the CA hears of it, so that a crash cannot lose the key of an account that exists.
    account = Account{"", tls::keyToPem(tls::generateKey(tls::KeyType::EcdsaP256).get()), provider.contact};
    storage_->saveAccount(directory_, *account);
  }
  const bool forgetUrl = !account->url.empty() && account->url == refusedUrl;
  if (forgetUrl) {
    parts_.log.warn("acme.account.unknown", {{"directory", directory_},
                                             {"account", account->url},
                                             {"next", "the CA has lost the account; its key is registered anew"}});
    account->url.clear();
    storage_->saveAccount(directory_, *account);
  }
  client.useAccount(tls::keyFromPem(account->key), account->url);
  if (!account->url.empty()) {
    if (account->contact != provider.contact) updateContact(client, provider, *account, stop);
    return connection;
  }

  const Json meta = client.directory(stop).meta;
  noteMeta(meta);
  if (meta["externalAccountRequired"].boolean()) {
    throw Error(makeProblem("urn:ietf:params:acme:error:externalAccountRequired",
                            "the directory says that new accounts must be bound to an external one"));
  }
  account->url = registered(client, provider, keyIsNew || forgetUrl, stop);
  account->contact = provider.contact;
  storage_->saveAccount(directory_, *account);
  parts_.log.info("acme.account.ready", {{"provider", provider.name},
                                         {"directory", directory_},
                                         {"account", account->url},
                                         {"contact", joined(account->contact)}});
  return connection;
}

// A changed contact is an update of the account (7.3.2), never a new one; an order does not fail of it.
void ProviderCare::updateContact(Client& client, const Provider& provider, Account account, std::stop_token stop) {
  try {
    client.updateContact(provider.contact, stop);
    account.contact = provider.contact;
    storage_->saveAccount(directory_, account);
    parts_.log.info("acme.account.updated", {{"account", account.url}, {"contact", joined(account.contact)}});
  } catch (const Error& error) {
    parts_.log.warn("acme.account.not-updated", {{"account", account.url},
                                                 {"type", error.problem.shortType()},
                                                 {"detail", error.problem.detail},
                                                 {"next", "again with the next order"}});
  }
}

std::string ProviderCare::registered(Client& client, const Provider& provider, bool keyIsNew, std::stop_token stop) {
  if (!keyIsNew) {
    // The key is there and its URL is lost: the CA knows it, unless it never heard of the key.
    try {
      return client.newAccount(provider.contact, true, {}, stop);
    } catch (const Error& error) {
      if (error.problem.shortType() != "accountDoesNotExist") throw;
    }
  }
  return client.newAccount(provider.contact, false, provider.externalAccount, stop);
}

void ProviderCare::noteMeta(const Json& meta) {
  try {
    if (!(meta == storage_->directoryMeta(directory_))) storage_->saveDirectoryMeta(directory_, meta);
  } catch (const Error& error) {
    parts_.log.warn("acme.cache.unwritable", {{"directory", directory_}, {"error", error.problem.detail}});
  }
}

void ProviderCare::succeeded() {
  std::lock_guard lock(mutex_);
  state_ = ProviderStatus::State::Ok;
  lastError_.reset();
}

void ProviderCare::failed(const Problem& problem, Time at) {
  std::lock_guard lock(mutex_);
  const bool ofAName = !problem.name.empty() || classOf(problem) == FailureClass::Validation;
  state_ = ofAName ? ProviderStatus::State::Ok : ProviderStatus::State::Failing;
  if (ofAName) {
    lastError_.reset();
  } else {
    lastError_ = lastErrorOf(problem, at);
  }
}

std::string ProviderCare::accountUrl() const {
  std::lock_guard lock(mutex_);
  return accountUrl_;
}

ProviderStatus ProviderCare::status() const {
  std::lock_guard lock(mutex_);
  ProviderStatus status;
  status.account = accountUrl_;
  status.state = state_;
  status.lastError = lastError_;
  return status;
}

LastError lastErrorOf(const Problem& problem, Time at) {
  return {problem.type, problem.detail, problem.name, at};
}

}  // namespace postern::acme
