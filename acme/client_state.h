// Client::State: how one request of the client goes out and comes back: nonces, signature, repetition, pace. What all
// copies of a client share.
//
// Any thread. The members after `mutex` are guarded by it, which is never held during a request.
#pragma once

#include <mutex>
#include <stop_token>
#include <string>

#include "acme/client.h"
#include "acme/directory_source.h"
#include "acme/nonce_pool.h"

namespace postern::acme {

struct Client::State {
  State(std::string directoryUrl, Transport& t, const Clock& c, Log& log)
      : transport(t), clock(c), directory(std::move(directoryUrl), t, c, log) {}

  // Of one request: how fast it may go, and what ends it.
  struct Way {
    Pace* pace;
    std::stop_token stop;
  };
  // Whose signature, and how the CA learns whose: "kid" for the account, else "jwk".
  struct Signer {
    EVP_PKEY* key = nullptr;  // null: the account's
    bool byUrl = true;        // the account's URL as "kid"
  };
  static constexpr Duration usualTimeout = std::chrono::seconds(30);

  // Does `use` with the URL of a resource of the directory, `called` there; once more when that has moved.
  template <class Use>
  HttpResponse at(std::string Directory::*resource, const char* called, const Way& way, Use use) {
    const std::string url = urlOf(resource, called, way);
    try {
      return use(url);
    } catch (const Error& error) {
      if (!saysUrlIsGone(error.problem)) throw;
      directory.forget();
      const std::string moved = urlOf(resource, called, way);
      if (moved == url) throw;
      return use(moved);
    }
  }

  // One signed request, sent again as long as its nonce alone is refused (6.5). Every other refusal is thrown; `what`
  // was asked, in words.
  HttpResponse post(const std::string& url, const std::string& payload, const Signer& signer, const std::string& what,
                    const Way& way, Duration timeout = usualTimeout);
  HttpResponse postAsGet(const std::string& url, const std::string& what, const Way& way) {
    return post(url, "", {}, what, way);
  }
  // Not signed.
  HttpResponse get(const std::string& url, const std::string& what, const Way& way);

  tls::KeyPtr accountKey();  // throws Error accountDoesNotExist where none is known, as the next
  std::string demandAccountUrl();

  Transport& transport;
  const Clock& clock;
  DirectorySource directory;
  NoncePool nonces;
  std::mutex mutex;
  tls::KeyPtr key;
  std::string accountUrl, thumbprint;
  Time sparingUntil{};  // with repetitions, since a request failed on bad nonces alone

 private:
  static bool saysUrlIsGone(const Problem& problem);
  std::string urlOf(std::string Directory::*resource, const char* called, const Way& way);
  HttpResponse send(const HttpRequest& request, const Way& way);
  std::string nonce(const Way& way);
  std::string signedBody(const std::string& url, const std::string& payload, const Signer& signer,
                         std::string withNonce);
  int mostSendings();
};

}  // namespace postern::acme
