// The transport by libcurl. Each exchange has a line to itself: an easy handle and the multi handle that owns its
// connections, taken from a pool and put back, so that connections are reused and a stop request can wake the wait.
#include <curl/curl.h>

#include <array>
#include <cstddef>
#include <mutex>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "acme/error.h"
#include "acme/provider.h"
#include "acme/transport.h"
#include "base/text.h"
#include "tls/openssl.h"

namespace postern::acme {
namespace {

constexpr std::size_t longestBody = 1U << 20U;
constexpr std::size_t longestHeaders = 64U << 10U;
constexpr long connectTimeoutMs = 10'000;
constexpr std::size_t mostIdleLines = 4;

using EasyPtr = tls::Owned<CURL, curl_easy_cleanup>;
using MultiPtr = tls::Owned<CURLM, curl_multi_cleanup>;
using HeaderListPtr = tls::Owned<curl_slist, curl_slist_free_all>;
using UrlPtr = tls::Owned<CURLU, curl_url_cleanup>;

struct Line {
  MultiPtr multi{curl_multi_init()};  // outlives the easy handle, whose connections it owns
  EasyPtr easy{curl_easy_init()};
};

struct Exchange {
  HttpResponse response;
  std::size_t headerBytes = 0;
  bool tooLong = false;

  std::size_t body(std::string_view bytes) {
    if (response.body.size() + bytes.size() > longestBody) return overflow();
    response.body += bytes;
    return bytes.size();
  }
  std::size_t header(std::string_view line) {
    if (line.starts_with("HTTP/")) response.headers.clear();  // what came before belonged to an interim answer
    headerBytes += line.size();
    if (headerBytes > longestHeaders) return overflow();
    if (auto colon = line.find(':'); colon != std::string_view::npos) {
      response.headers.emplace(lower(trimmed(line.substr(0, colon))), trimmed(line.substr(colon + 1)));
    }
    return line.size();
  }

 private:
  std::size_t overflow() {
    tooLong = true;
    return 0;  // makes curl give up
  }
};

// curl's callbacks: doors, not rooms.
std::size_t onBody(char* data, std::size_t, std::size_t size, void* self) noexcept {
  return static_cast<Exchange*>(self)->body({data, size});
}
std::size_t onHeader(char* data, std::size_t, std::size_t size, void* self) noexcept {
  return static_cast<Exchange*>(self)->header({data, size});
}

std::string partOf(const std::string& url, CURLUPart part) {
  UrlPtr parsed(curl_url());
  char* text = nullptr;
  if (!parsed || curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK ||
      curl_url_get(parsed.get(), part, &text, 0) != CURLUE_OK) {
    return "";
  }
  std::string value = text;
  curl_free(text);
  return value;
}

bool isLoopback(std::string_view host) {
  return host == "localhost" || host == "[::1]" || host.starts_with("127.");
}

// Where the system keeps its certificates one by one. CURLOPT_CAINFO replaces the bundle, this folder stays beside it.
const char* systemCertificates() {
  const curl_version_info_data* info = curl_version_info(CURLVERSION_NOW);
  return info->age >= CURLVERSION_SEVENTH && info->capath ? info->capath : "/etc/ssl/certs";
}

template <class Value>
void set(CURL* easy, CURLoption option, Value value) {
  if (CURLcode code = curl_easy_setopt(easy, option, value); code != CURLE_OK) {
    throw Error(
        makeProblem("postern:connection", std::string("libcurl refuses a setting: ") + curl_easy_strerror(code)));
  }
}

class CurlTransport : public Transport {
 public:
  CurlTransport(std::string userAgent, std::string caFile, std::string systemStore)
      : userAgent_(std::move(userAgent)), caFile_(std::move(caFile)), systemStore_(std::move(systemStore)) {}

  HttpResponse send(const HttpRequest& request, std::stop_token stop) override {
    if (stop.stop_requested()) throw Stopped();
    std::string scheme = partOf(request.url, CURLUPART_SCHEME), host = partOf(request.url, CURLUPART_HOST);
    if (scheme != "https" || host.empty()) {
      throw Error(makeProblem("postern:malformed", "not an https URL: " + request.url.substr(0, 200)));
    }
    Exchange exchange;
    std::array<char, CURL_ERROR_SIZE> reason{};
    HeaderListPtr headers;
    Line line = take();  // goes first, however this ends: its handle points to what stands above
    headers = setUp(line.easy.get(), request, exchange, reason.data(), host);
    std::optional<CURLcode> result = perform(line, stop);
    if (!result) throw Stopped();  // the line goes with it: it may be in the middle of anything
    if (*result != CURLE_OK) throw failure(*result, exchange, reason.data(), host, request);
    long status = 0;
    curl_easy_getinfo(line.easy.get(), CURLINFO_RESPONSE_CODE, &status);
    exchange.response.status = static_cast<int>(status);
    curl_easy_reset(line.easy.get());  // forgets the pointers into this frame, keeps nothing but the handle
    giveBack(std::move(line));
    return std::move(exchange.response);
  }

 private:
  Line take() {
    {
      std::lock_guard lock(mutex_);
      if (!idle_.empty()) {
        Line line = std::move(idle_.back());
        idle_.pop_back();
        return line;
      }
    }
    Line line;
    if (!line.easy || !line.multi) throw Error(makeProblem("postern:connection", "libcurl cannot be started"));
    return line;
  }

  void giveBack(Line line) {
    std::lock_guard lock(mutex_);
    if (idle_.size() < mostIdleLines) idle_.push_back(std::move(line));
  }

  HeaderListPtr setUp(CURL* easy, const HttpRequest& request, Exchange& exchange, char* reason, std::string_view host) {
    set(easy, CURLOPT_URL, request.url.c_str());
    set(easy, CURLOPT_PROTOCOLS_STR, "https");
    set(easy, CURLOPT_FOLLOWLOCATION, 0L);
    set(easy, CURLOPT_NOSIGNAL, 1L);
    set(easy, CURLOPT_ERRORBUFFER, reason);
    set(easy, CURLOPT_USERAGENT, userAgent_.c_str());
    set(easy, CURLOPT_CONNECTTIMEOUT_MS, connectTimeoutMs);
    set(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(request.timeout.count()));
    set(easy, CURLOPT_WRITEFUNCTION, &onBody);
    set(easy, CURLOPT_WRITEDATA, static_cast<void*>(&exchange));
    set(easy, CURLOPT_HEADERFUNCTION, &onHeader);
    set(easy, CURLOPT_HEADERDATA, static_cast<void*>(&exchange));
    set(easy, CURLOPT_MAXFILESIZE_LARGE, static_cast<curl_off_t>(longestBody));
    set(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    set(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    set(easy, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
#if LIBCURL_VERSION_NUM >= 0x075700
    set(easy, CURLOPT_QUICK_EXIT, 1L);  // a stop or time-out does not wait for a resolver thread that hangs
#endif
    if (!caFile_.empty()) {
      set(easy, CURLOPT_CAINFO, caFile_.c_str());
      set(easy, CURLOPT_CAPATH, systemStore_.c_str());
#if LIBCURL_VERSION_NUM >= 0x075700
      set(easy, CURLOPT_CA_CACHE_TIMEOUT, 0L);  // a private CA's file may be replaced while we run
#endif
    }
    if (isLoopback(host)) set(easy, CURLOPT_PROXY, "");  // https_proxy is for the world outside

    curl_slist* list = nullptr;
    auto add = [&list](const char* header) {
      if (curl_slist* longer = curl_slist_append(list, header)) list = longer;
    };
    add("Accept-Language: en");  // of the problems that end in our log
    if (request.method == "HEAD") {
      set(easy, CURLOPT_NOBODY, 1L);
    } else if (request.method == "POST") {
      add("Content-Type: application/jose+json");
      add("Expect:");
      set(easy, CURLOPT_POST, 1L);
      set(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
      set(easy, CURLOPT_POSTFIELDS, request.body.c_str());
    } else {
      set(easy, CURLOPT_HTTPGET, 1L);
    }
    HeaderListPtr headers(list);
    set(easy, CURLOPT_HTTPHEADER, headers.get());
    return headers;
  }

  // Nothing when it was stopped.
  static std::optional<CURLcode> perform(Line& line, std::stop_token stop) {
    CURLM* multi = line.multi.get();
    curl_multi_add_handle(multi, line.easy.get());
    std::optional<CURLcode> result;
    {
      std::stop_callback wake(stop, [multi] { curl_multi_wakeup(multi); });
      int running = 1;
      while (running > 0 && !stop.stop_requested()) {
        CURLMcode code = curl_multi_perform(multi, &running);
        if (code == CURLM_OK && running > 0) code = curl_multi_poll(multi, nullptr, 0, 1000, nullptr);
        if (code != CURLM_OK) {
          result = CURLE_FAILED_INIT;
          break;
        }
      }
      if (running == 0) {
        int left = 0;
        if (CURLMsg* message = curl_multi_info_read(multi, &left)) result = message->data.result;
      }
    }
    curl_multi_remove_handle(multi, line.easy.get());
    return result;
  }

  Error failure(CURLcode code, const Exchange& exchange, std::string_view reason, const std::string& host,
                const HttpRequest& request) const {
    std::string words(reason.empty() ? curl_easy_strerror(code) : reason);
    if (exchange.tooLong || code == CURLE_FILESIZE_EXCEEDED) {
      return Error(
          makeProblem("postern:http", host + " sent an answer longer than 1 MiB or headers longer than 64 KiB"));
    }
    if (code == CURLE_OPERATION_TIMEDOUT) {
      return Error(makeProblem("postern:timeout",
                               "no answer from " + host + " within " + inWords(request.timeout) + ": " + words));
    }
    if (code == CURLE_SSL_CACERT_BADFILE) {
      return Error(
          makeProblem("postern:connection", "cannot use the ca-file " + caFile_ + " for " + host + ": " + words));
    }
    if (code == CURLE_PEER_FAILED_VERIFICATION) {
      const bool ofDates =
          words.find("not yet valid") != std::string::npos || words.find("has expired") != std::string::npos;
      return Error(makeProblem(
          "postern:connection",
          "the certificate of " + host + " is not trusted: " + words +
              (ofDates ? "; check this machine's clock (timedatectl)"
                       : "; for a CA of your own, name its root certificate with ca-file in [acme.<name>]")));
    }
    return Error(makeProblem("postern:connection", "cannot reach " + host + ": " + words));
  }

  const std::string userAgent_, caFile_, systemStore_;
  std::mutex mutex_;
  std::vector<Line> idle_;
};

}  // namespace

TransportFactory curlTransports(std::string userAgent, std::string systemStore) {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
  if (systemStore.empty()) systemStore = systemCertificates();
  return [userAgent = std::move(userAgent),
          systemStore = std::move(systemStore)](const Provider& provider) -> std::unique_ptr<Transport> {
    return std::make_unique<CurlTransport>(userAgent, provider.caFile, systemStore);
  };
}

}  // namespace postern::acme
