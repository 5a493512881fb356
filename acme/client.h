// Client: RFC 8555 against one directory: each function is one request of the RFC, signed, with nonces and their
// repetition, Retry-After and problem documents taken care of. It decides nothing about when or why.
//
// Any thread; orders of one provider share a client and so its nonces and connections. Everything throws Error on a
// refusal or failure and Stopped on a stop request.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "acme/error.h"
#include "acme/objects.h"
#include "acme/provider.h"
#include "acme/transport.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "tls/openssl.h"

namespace postern::acme {

class Client {
 public:
  // The references must outlive the client.
  Client(std::string directoryUrl, Transport& transport, const Clock& clock, Log& log);
  ~Client();

  // The directory (7.1.1), fetched at the first use and again after a day or when a URL of it answers 404.
  Directory directory(std::stop_token stop);

  // The key that signs, and the account URL where it is known; set before any other request.
  void useAccount(tls::KeyPtr key, std::string accountUrl);
  const std::string& accountUrl() const;
  std::string thumbprint() const;  // RFC 7638, of the account key

  // newAccount (7.3). `onlyReturnExisting` finds the URL of the key's account (7.3.1). Returns and keeps the URL.
  std::string newAccount(const std::vector<std::string>& contact, bool onlyReturnExisting, std::stop_token stop);
  void updateContact(const std::vector<std::string>& contact, std::stop_token stop);  // 7.3.2; empty: none

  Order newOrder(const std::vector<std::string>& names, std::stop_token stop);          // 7.4
  Order order(const std::string& url, std::stop_token stop);                            // POST-as-GET
  Authorization authorization(const std::string& url, std::stop_token stop);            // 7.5
  Challenge respond(const Challenge& challenge, std::stop_token stop);                  // 7.5.1
  Order finalize(const Order& order, const std::string& csrDer, std::stop_token stop);  // 7.4; csr in DER
  std::string download(const std::string& certificateUrl, std::stop_token stop);  // 7.4.2; body as it came: PEM chain

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace postern::acme
