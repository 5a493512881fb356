// The rest of an account's life: shown, given a new key, deactivated; and the revocation of what it ordered.
#include <utility>

#include "acme/provider_care.h"
#include "base/text.h"

namespace postern::acme {
namespace {

// A request that was under way when a key rollover's answer was lost may still reach the CA: so long the key is kept.
constexpr auto rolloverSettles = std::chrono::hours(1);

// The CA has understood and said no; otherwise the request may have had its effect.
bool isRefusal(const Problem& problem) {
  return problem.status >= 400 && problem.status < 500;
}

// The account cannot revoke, for whatever reason; the certificate's own key may.
bool concernsTheAccount(const Problem& problem) {
  const std::string type = problem.shortType();
  return type == "unauthorized" || type == "accountDoesNotExist" || type == "malformed" ||
         type == "userActionRequired" || type == "externalAccountRequired";
}

Error refused(const std::string& words) {
  return Error(makeProblem("postern:account", words));
}

}  // namespace

void ProviderCare::refuseDeactivated(const Account& account) const {
  // As the CA would say it: only a person can mend this.
  throw Error(makeProblem("urn:ietf:params:acme:error:unauthorized",
                          "the account " + account.url + " was deactivated at " + rfc3339(*account.deactivated) +
                              "; to order here again with a new account remove the folder " +
                              storage_->accountFolder(directory_, account).string() +
                              " and renew, else take the provider out of the configuration or change its directory"));
}

// The account on disk, when there is one that can be worked with.
Account ProviderCare::usableAccount() const {
  auto account = storage_->account(directory_);
  if (!account || account->url.empty()) throw refused("there is no account yet; it is made with the first order");
  if (account->deactivated) refuseDeactivated(*account);
  return std::move(*account);
}

AccountAnswer ProviderCare::account(std::stop_token stop) {
  AccountAnswer answer;
  answer.directory = directory_;
  const auto account = storage_->account(directory_);
  Json meta = storage_->directoryMeta(directory_);
  if (account && !account->deactivated && !account->url.empty()) {
    Pace pace(parts_.clock);
    const ConnectionRef connection = ready(pace, stop);
    Client client(*connection->client, pace);
    const AccountObject object = client.account(stop);
    answer.url = object.url;
    answer.status = object.status;
    answer.contact = object.contact;
    answer.thumbprint = client.thumbprint();
    meta = client.directory(stop).meta;
    noteMeta(meta);
  } else if (account) {
    answer.url = account->url;
    answer.status = account->deactivated ? "deactivated" : "none";
    answer.contact = account->contact;
    answer.thumbprint = storage_->accountFolder(directory_, *account).filename().string();
  } else {
    answer.status = "none";
  }
  answer.termsOfService = meta["termsOfService"].string();
  answer.externalAccountRequired = meta["externalAccountRequired"].boolean();
  return answer;
}

bool ProviderCare::settleRollover(Transport& transport, Account& account, Pace& pace, std::stop_token stop) {
  const Client asked(directory_, transport, parts_.clock, parts_.log);
  Client client(asked, pace);
  client.useAccount(tls::keyFromPem(account.nextKey), "");
  try {
    client.newAccount({}, true, {}, stop);
  } catch (const Error& error) {
    if (!saysKeyIsUnknown(error.problem)) throw;
    if (parts_.clock.now() - account.nextKeySince > rolloverSettles) storage_->dropNextKey(directory_, account);
    return false;
  }
  account.url = client.accountUrl();
  storage_->goOverToNextKey(directory_, account);
  parts_.log.info("acme.account.rolled-over", {{"account", account.url}, {"thumbprint", client.thumbprint()}});
  return true;
}

AccountAnswer ProviderCare::rolloverAccount(std::stop_token stop) {
  std::lock_guard administering(administering_);
  usableAccount();
  Pace pace(parts_.clock);
  const ConnectionRef connection = ready(pace, stop);  // also settles a rollover that a crash left open
  Account account = usableAccount();
  Client client(*connection->client, pace);
  // One that may still be on its way is asked for again: a third key would leave two to look for.
  if (account.nextKey.empty()) {
    storage_->saveNextKey(directory_, account, tls::keyToPem(tls::generateKey(tls::KeyType::EcdsaP256).get()),
                          parts_.clock.now());
  }
  try {
    client.changeKey(tls::keyFromPem(account.nextKey), stop);
    storage_->goOverToNextKey(directory_, account);
    parts_.log.info("acme.account.rolled-over", {{"account", account.url}, {"thumbprint", client.thumbprint()}});
  } catch (const Error& error) {
    bool taken = false;
    try {
      taken = settleRollover(*connection->transport, account, pace, stop);
    } catch (const Error&) {
      dropConnection();  // the next one asks again
      throw refused("it is not known whether the CA has taken the new key (" + std::string(error.what()) +
                    "); both keys are kept, and the next contact with the CA finds out");
    }
    if (!taken) {
      if (isRefusal(error.problem) && !account.nextKey.empty()) storage_->dropNextKey(directory_, account);
      dropConnection();
      throw;
    }
    client.useAccount(tls::keyFromPem(account.key), account.url);
  }
  {
    // One that another order made meanwhile has the old key.
    std::lock_guard lock(mutex_);
    if (connection_ != connection) connection_.reset();
    ++trust_;
    accountUrl_ = account.url;
  }
  return this->account(stop);
}

AccountAnswer ProviderCare::deactivateAccount(std::stop_token stop) {
  std::lock_guard administering(administering_);
  usableAccount();
  Pace pace(parts_.clock);
  const ConnectionRef connection = ready(pace, stop);
  Account account = usableAccount();
  Client client(*connection->client, pace);
  try {
    client.deactivateAccount(stop);
  } catch (const Error& error) {
    if (isRefusal(error.problem) && error.problem.shortType() != "unauthorized") throw;
    // Without an answer, or because it was done already (RFC 8555 section 7.3.6): the CA no longer lets the account in.
    if (!isLockedOut(client, stop)) throw;
  }
  account.deactivated = parts_.clock.now();
  storage_->saveAccount(directory_, account);
  dropConnection();
  parts_.log.warn("acme.account.deactivated", {{"directory", directory_}, {"account", account.url}});
  return this->account(stop);
}

bool ProviderCare::isLockedOut(Client& client, std::stop_token stop) const {
  try {
    return client.account(stop).status == "deactivated";
  } catch (const Error& error) {
    return error.problem.shortType() == "unauthorized";
  }
}

void ProviderCare::revoke(const tls::CertifiedKey& certificate, int reason, std::stop_token stop) {
  Pace pace(parts_.clock);
  const auto account = storage_->account(directory_);
  if (account && !account->url.empty() && !account->deactivated) {
    try {
      const ConnectionRef connection = ready(pace, stop);
      Client(*connection->client, pace).revoke(certificate, reason, Client::RevokeBy::Account, stop);
      return;
    } catch (const Error& error) {
      if (!concernsTheAccount(error.problem)) throw;
      parts_.log.info(
          "acme.revocation.by-certificate-key",
          {{"serial", certificate.serial()}, {"type", error.problem.shortType()}, {"detail", error.problem.detail}});
    }
  }
  const auto transport = transportNow();
  const Client shared(directory_, *transport, parts_.clock, parts_.log);
  Client(shared, pace).revoke(certificate, reason, Client::RevokeBy::CertificateKey, stop);
}

std::shared_ptr<Transport> ProviderCare::transportNow() {
  Provider provider;
  {
    std::lock_guard lock(mutex_);
    if (transport_) return transport_;
    provider = provider_;
  }
  return parts_.transports(provider);
}

void ProviderCare::dropConnection() {
  std::lock_guard lock(mutex_);
  connection_.reset();
  ++trust_;
}

}  // namespace postern::acme
