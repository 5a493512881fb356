#include "tls/issuers.h"

#include <algorithm>
#include <deque>
#include <mutex>
#include <string>

#include "tls/certificate_reading.h"

namespace postern::tls {
namespace {

struct Known {
  std::string der;
  CertPtr certificate;
};

constexpr std::size_t mostKnown = 64;  // a CA has few, and issues for months with one

}  // namespace

CertPtr issuerFromDer(std::string_view der) {
  static std::mutex mutex;
  static std::deque<Known> known;
  {
    std::lock_guard lock(mutex);
    const auto found = std::find_if(known.begin(), known.end(), [&](const Known& one) { return one.der == der; });
    if (found != known.end()) return share(found->certificate.get());
  }
  CertPtr made = certificateFromDer(der);
  if (!made) return nullptr;
  std::lock_guard lock(mutex);
  // Two threads may read the same one at once; one too many among the known does no harm.
  known.push_back({std::string(der), share(made.get())});
  if (known.size() > mostKnown) known.pop_front();
  return made;
}

}  // namespace postern::tls
