// Client: RFC 8555 against one directory: each function is one request of the RFC, signed, with nonces and their
// repetition, Retry-After and problem documents taken care of. It decides nothing about when or why.
//
// Any thread; orders of one provider share a client and so its nonces and connections. Everything throws Error on a
// refusal or failure and Stopped on a stop request. A resource that the directory does not have is an Error
// postern:unsupported. Redirects are not followed: they are an Error that says where to.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "acme/error.h"
#include "acme/objects.h"
#include "acme/pace.h"
#include "acme/provider.h"
#include "acme/renewal_info.h"
#include "acme/transport.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "tls/openssl.h"

namespace postern::acme {

struct OrderRequest {
  std::vector<std::string> names;
  std::string profile = {};   // "" : the CA's default
  std::string replaces = {};  // RFC 9773 section 5: certificate ID of the predecessor; "": none
};

struct DownloadedChain {
  std::string pem;                      // body as it came
  std::vector<std::string> alternates;  // URLs of Link: rel="alternate", in their order
};

class Client {
 public:
  // The references must outlive the client.
  Client(std::string directoryUrl, Transport& transport, const Clock& clock, Log& log);
  // Shares everything with `other` but goes at `pace`, which must outlive it: for the requests of one attempt.
  Client(const Client& other, Pace& pace);
  ~Client();

  // The directory (7.1.1), fetched at the first use and again after a day or when a URL of it answers 404.
  Directory directory(std::stop_token stop);

  // The key that signs, and the account URL where it is known; set before any other request.
  void useAccount(tls::KeyPtr key, std::string accountUrl);
  std::string accountUrl() const;
  std::string thumbprint() const;  // RFC 7638, of the account key

  // newAccount (7.3), bound to an external account (7.3.4) where there is one. `onlyReturnExisting` finds the URL of
  // the key's account (7.3.1). Returns and keeps the URL.
  std::string newAccount(const std::vector<std::string>& contact, bool onlyReturnExisting,
                         const std::optional<ExternalAccount>& externalAccount, std::stop_token stop);
  void updateContact(const std::vector<std::string>& contact, std::stop_token stop);  // 7.3.2; empty: none
  AccountObject account(std::stop_token stop);                                        // POST-as-GET of the account URL
  // 7.3.5. The client signs with `newKey` once the CA has taken it; both keys are on disk before this is called.
  void changeKey(tls::KeyPtr newKey, std::stop_token stop);
  void deactivateAccount(std::stop_token stop);  // 7.3.6

  Order newOrder(const OrderRequest& request, std::stop_token stop);                    // 7.4
  Order order(const std::string& url, std::stop_token stop);                            // POST-as-GET
  Authorization authorization(const std::string& url, std::stop_token stop);            // 7.5
  Challenge respond(const Challenge& challenge, std::stop_token stop);                  // 7.5.1
  Order finalize(const Order& order, const std::string& csrDer, std::stop_token stop);  // 7.4; csr in DER
  DownloadedChain download(const std::string& certificateUrl, std::stop_token stop);    // 7.4.2

  // 7.6, signed with the account's key, or with the certificate's own, for when the account is lost. `reason`:
  // RFC 5280 section 5.3.1. A certificate that is revoked already is no error.
  enum class RevokeBy { Account, CertificateKey };
  void revoke(const tls::CertifiedKey& certificate, int reason, RevokeBy by, std::stop_token stop);

  // RFC 9773 section 4.1, not signed. Nothing when the directory has no renewalInfo or the certificate no AKI.
  std::optional<RenewalInfo> renewalInfo(const tls::CertifiedKey& certificate, const std::optional<RenewalInfo>& before,
                                         double chance, std::stop_token stop);

 private:
  struct State;
  std::shared_ptr<State> state_;
  Pace* pace_ = nullptr;
};

}  // namespace postern::acme
