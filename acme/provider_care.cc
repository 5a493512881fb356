#include "acme/provider_care.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <functional>
#include <utility>

#include "acme/issuance.h"
#include "acme/renewal.h"
#include "acme/solvers.h"
#include "base/text.h"

namespace postern::acme {

ProviderCare::ProviderCare(const Provider& provider, std::shared_ptr<Storage> storage, std::shared_ptr<OrderGate> gate,
                           const Manager::Parts& parts)
    : directory_(provider.directory),
      storage_(std::move(storage)),
      parts_(parts),
      ledger_(storage_->ledger(directory_)),
      gate_(std::move(gate)),
      provider_(provider) {
  gate_->join(ledger_);
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
  if (provider.contact != provider_.contact) {
    connection_.reset();  // made anew, it tells the CA
    ++trust_;             // also the one that is being made
  }
  if (!(provider == provider_)) solvers_.clear();
  provider_ = provider;
}

std::string ProviderCare::configurationDigest() const {
  std::lock_guard lock(mutex_);
  std::vector<std::string> parts = provider_.contact;
  parts.push_back(provider_.caFile);
  parts.push_back(provider_.challengeBind);
  parts.push_back(std::to_string(provider_.port));
  for (const auto type : provider_.challenge) parts.emplace_back(nameOf(type));
  parts.push_back(std::to_string(provider_.httpPort));
  parts.push_back("profile " + provider_.profile);
  if (const auto& bound = provider_.externalAccount) {
    parts.push_back("eab " + bound->keyId + " " + std::string(bound->hmacKey.reveal()));
  }
  const DnsSettings& dns = provider_.dns;
  parts.push_back("dns " + std::to_string(static_cast<int>(dns.method)) + dns.server + " " + dns.key + " " +
                  dns.algorithm + " " + dns.hook + " " + std::string(dns.secret.reveal()));
  return nameSetHash(std::move(parts));
}

namespace {

// The journal of a task, which also enters its orders into the ledger.
class Entered : public Journal {
 public:
  Entered(CertificateFolder& folder, std::function<void()> enter) : folder_(folder), enter_(std::move(enter)) {}
  std::optional<std::string> pendingOrder() const override { return folder_.pendingOrder(); }
  std::optional<Time> pendingSince() const override { return folder_.pendingSince(); }
  void rememberOrder(const std::string& orderUrl, Time now) override {
    folder_.rememberOrder(orderUrl, now);
    if (enter_) enter_();
  }
  void forgetOrder() override { folder_.forgetOrder(); }

 private:
  CertificateFolder& folder_;
  std::function<void()> enter_;
};

}  // namespace

bool saysKeyIsUnknown(const Problem& problem) {
  const std::string type = problem.shortType();
  if (type == "accountDoesNotExist") return true;
  const bool refused = problem.status >= 400 && problem.status <= 403;
  return refused && (type == "externalAccountRequired" || type == "malformed" || type == "unauthorized");
}

namespace {

bool isAddress(const std::string& name) {
  std::array<unsigned char, 16> address{};
  return inet_pton(AF_INET, name.c_str(), address.data()) == 1 ||
         inet_pton(AF_INET6, name.c_str(), address.data()) == 1;
}

}  // namespace

ChallengeType ProviderCare::challengeFor(const std::vector<std::string>& names, int failedValidations) const {
  std::vector<ChallengeType> types;
  {
    std::lock_guard lock(mutex_);
    types = provider_.challenge;
  }
  const bool wildcard =
      std::any_of(names.begin(), names.end(), [](const std::string& name) { return name.starts_with("*."); });
  const bool address = std::any_of(names.begin(), names.end(), isAddress);
  std::erase_if(types, [&](ChallengeType type) {
    return type == ChallengeType::Dns01 ? address : wildcard;  // RFC 8555 section 8.4, RFC 8738 section 7
  });
  if (types.empty()) {
    throw Error(makeProblem("postern:challenge", "no type of challenge that the provider names can validate " +
                                                     joined(names, ", ") + " in one order"));
  }
  return types[static_cast<std::size_t>(failedValidations) % types.size()];
}

tls::CertifiedKeyRef ProviderCare::obtain(const OrderTask& task, std::stop_token stop) {
  const bool resumes = task.folder.pendingOrder().has_value();
  const Time now = parts_.clock.now();
  if (const Time out = earliest(task.names, task.kind, now); out > now && task.passesLimits && !resumes) {
    parts_.log.warn("acme.limit.passed", {{"names", joined(task.names)},
                                          {"directory", directory_},
                                          {"limited-until", rfc3339(out)},
                                          {"reason", "the certificate expires before"}});
  }
  const auto pass = gate_->enter(*ledger_, task.names, task.kind, task.passesLimits || resumes);
  if (!resumes) pass->ordered();  // before it is sent: a crash must not forget it
  Entered journal(task.folder, [&] { pass->ordered(); });
  try {
    tls::CertifiedKeyRef certificate = issued(task, journal, stop);
    Json metadata;
    metadata["directory"] = directory_;
    metadata["order"] = task.folder.pendingOrder();
    metadata["names"] = Json::strings(task.names);
    metadata["serial"] = certificate->serial();
    metadata["issuer"] = certificate->issuer();
    metadata["not_before"] = rfc3339(certificate->notBefore());
    metadata["not_after"] = rfc3339(certificate->notAfter());
    metadata["issued_at"] = rfc3339(parts_.clock.now());
    task.folder.store(*certificate, metadata);
    enterIssuance(*pass);
    return certificate;
  } catch (const Error& error) {
    noteFailure(task, error);
    throw;
  }
}

void ProviderCare::prove(const OrderTask& task, std::stop_token stop) {
  const bool resumes = task.folder.pendingOrder().has_value();
  const auto pass = gate_->enter(*ledger_, task.names, task.kind, resumes);
  if (!resumes) pass->ordered();
  Entered journal(task.folder, [&] { pass->ordered(); });
  try {
    issued(task, journal, stop);
  } catch (const Error& error) {
    noteFailure(task, error);
    throw;
  }
  enterIssuance(*pass);
  task.folder.dropPending();
}

// The certificate is there; a ledger that cannot be written does not take it away.
void ProviderCare::enterIssuance(OrderGate::Pass& pass) {
  try {
    pass.issued();
  } catch (const Error& error) {
    parts_.log.warn("acme.cache.unwritable", {{"directory", directory_}, {"error", error.problem.detail}});
  }
}

tls::CertifiedKeyRef ProviderCare::issued(const OrderTask& task, Journal& journal, std::stop_token stop) {
  Provider provider;
  {
    std::lock_guard lock(mutex_);
    provider = provider_;
  }
  const std::shared_ptr<Solver> solver = solverFor(challengeFor(task.names, task.failedValidations));
  ConnectionRef connection = ready(task.pace, stop);
  const bool reused = provider.reuseKey && !task.newKey && task.predecessor &&
                      task.predecessor->keyTypeName() == tls::nameOf(task.keyType);
  const auto attempt = [&] {
    Client client(*connection->client, task.pace);
    IssuanceRequest request;
    request.names = task.names;
    request.key = task.folder.pendingKey(task.keyType, reused ? task.predecessor->key() : nullptr);
    if (task.newKey && task.predecessor && EVP_PKEY_eq(request.key.get(), task.predecessor->key()) == 1) {
      task.folder.dropPending();  // of an order from before the revocation
      request.key = task.folder.pendingKey(task.keyType);
    }
    request.profile = provider.profile;
    request.replaces = task.replaces;
    request.preferredChain = provider.preferredChain;
    return Issuance(client, *solver, journal, parts_.clock, parts_.log, std::move(request)).run(stop);
  };
  try {
    return attempt();
  } catch (const Error& error) {
    const std::string type = error.problem.shortType();
    // An account from before there was an external one: it may wait for nothing but that (Sectigo).
    const bool unbound = type == "externalAccountRequired" && provider.externalAccount;
    if (type != "accountDoesNotExist" && !unbound) throw;
    // A CA that lost its accounts has lost their orders too. Registered anew within this attempt, but only once.
    journal.forgetOrder();
    connection = ready(task.pace, stop, connection);
    return attempt();
  }
}

// One for all orders, so that answers that two of them share stay up until both are done.
std::shared_ptr<Solver> ProviderCare::solverFor(ChallengeType type) {
  std::lock_guard lock(mutex_);
  auto& solver = solvers_[type];
  if (!solver) {
    solver = makeSolver(type, provider_, {parts_.challenges, parts_.httpChallenges, parts_.clock, parts_.log});
  }
  return solver;
}

// What limits count, and what the CA told about them.
void ProviderCare::noteFailure(const OrderTask& task, const Error& error) {
  const Time now = parts_.clock.now();
  const Problem& problem = error.problem;
  try {
    if (classOf(problem) == FailureClass::Validation && !problem.name.empty() && problem.status != 0) {
      gate_->record(*ledger_, {LedgerEntry::Kind::FailedValidation, now, {problem.name}});
    }
    if (classOf(problem) == FailureClass::RateLimit && error.retryAfter) {
      ledger_->told(*error.retryAfter, task.names, now);
    }
  } catch (const Error& failed) {
    parts_.log.warn("acme.cache.unwritable", {{"directory", directory_}, {"error", failed.problem.detail}});
  }
}

std::optional<RenewalInfo> ProviderCare::renewalInfo(const tls::CertifiedKey& certificate,
                                                     const std::optional<RenewalInfo>& before, double chance,
                                                     Pace& pace, std::stop_token stop) {
  const ConnectionRef connection = ready(pace, stop);
  return Client(*connection->client, pace).renewalInfo(certificate, before, chance, stop);
}

Duration ProviderCare::longestWait() const {
  std::lock_guard lock(mutex_);
  const auto& types = provider_.challenge;
  const bool dns = std::find(types.begin(), types.end(), ChallengeType::Dns01) != types.end();
  return dns ? provider_.dns.propagationTimeout : Duration(0);
}

int ProviderCare::ordersAtOnce() const {
  std::lock_guard lock(mutex_);
  return provider_.orders;
}

ProviderCare::ConnectionRef ProviderCare::ready(Pace& pace, std::stop_token stop, const ConnectionRef& refused) {
  std::unique_lock lock(mutex_);
  for (bool waited = false;; waited = true) {
    if (connection_ && connection_ != refused && (connection_->contactTold || waited)) return connection_;
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
    made = connect(provider, transport, refusedUrl, pace, stop);
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
                                                  const std::string& refusedUrl, Pace& pace, std::stop_token stop) {
  auto connection = std::make_shared<Connection>();
  connection->client = std::make_unique<Client>(directory_, *transport, parts_.clock, parts_.log);
  connection->transport = std::move(transport);
  Client client(*connection->client, pace);

  std::optional<Account> account = storage_->account(directory_);
  if (account && account->deactivated) refuseDeactivated(*account);
  if (account && !account->nextKey.empty()) settleRollover(*connection->transport, *account, pace, stop);
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
                                             {"next", "the CA does not take it; its key is registered anew"}});
    account->url.clear();
    storage_->saveAccount(directory_, *account);
  }
  client.useAccount(tls::keyFromPem(account->key), account->url);
  if (!account->url.empty()) {
    if (account->contact != provider.contact) {
      connection->contactTold = updateContact(client, provider, *account, stop);
    }
    return connection;
  }

  const Json meta = client.directory(stop).meta;
  noteMeta(meta);
  if (meta["externalAccountRequired"].boolean() && !provider.externalAccount && keyIsNew) {
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
bool ProviderCare::updateContact(Client& client, const Provider& provider, Account account, std::stop_token stop) {
  try {
    client.updateContact(provider.contact, stop);
    account.contact = provider.contact;
    storage_->saveAccount(directory_, account);
    parts_.log.info("acme.account.updated", {{"account", account.url}, {"contact", joined(account.contact)}});
    return true;
  } catch (const Error& error) {
    parts_.log.warn("acme.account.not-updated", {{"account", account.url},
                                                 {"type", error.problem.shortType()},
                                                 {"detail", error.problem.detail},
                                                 {"next", "again with the next order"}});
    return false;
  }
}

void ProviderCare::makeReady(Pace& pace, std::stop_token stop) {
  try {
    ready(pace, stop);
  } catch (const Error& error) {
    // No order's history remembers it, and a restart must not ask before.
    if (error.retryAfter) rememberTold(*error.retryAfter);
    throw;
  }
}

Time ProviderCare::readyFrom(Time now) const {
  return ledger_->earliestAccount(now);
}

// Told to one, meant for all who would ask the CA.
void ProviderCare::rememberTold(Time until) {
  try {
    ledger_->told(until, {}, parts_.clock.now());
  } catch (const Error& failed) {
    parts_.log.warn("acme.cache.unwritable", {{"directory", directory_}, {"error", failed.problem.detail}});
  }
}

std::string ProviderCare::registered(Client& client, const Provider& provider, bool keyIsNew, std::stop_token stop) {
  if (!keyIsNew) {
    // The key is there and its URL is lost: the CA knows it, unless it never heard of the key.
    try {
      return client.newAccount(provider.contact, true, {}, stop);
    } catch (const Error& error) {
      // Who looks for a key only where an external account comes with it is asked the whole: that finds it as well.
      const bool withBinding = provider.externalAccount && saysKeyIsUnknown(error.problem);
      if (!withBinding && error.problem.shortType() != "accountDoesNotExist") throw;
    }
  }
  if (const Time now = parts_.clock.now(), out = ledger_->earliestAccount(now); out > now) {
    throw Error(makeProblem("urn:ietf:params:acme:error:rateLimited",
                            "this CA lets no more accounts be made before " + rfc3339(out)),
                out);
  }
  gate_->record(*ledger_, {LedgerEntry::Kind::Account, parts_.clock.now(), {}});
  try {
    return client.newAccount(provider.contact, false, provider.externalAccount, stop);
  } catch (const Error& error) {
    if (classOf(error.problem) == FailureClass::RateLimit && error.retryAfter) rememberTold(*error.retryAfter);
    throw;
  }
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
  status.ledger = ledger_->left(parts_.clock.now());
  return status;
}

LastError lastErrorOf(const Problem& problem, Time at) {
  return {problem.type, problem.detail, problem.name, at};
}

}  // namespace postern::acme
