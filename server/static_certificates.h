// StaticCertificates: the administrator's own pairs ([certificate.<name>]), from a reload and from their files, which
// are watched between reloads.
//
// A pair is taken whole or not at all: key and chain that do not belong together, an unreadable file, or a pair that is
// worse than the one before leave the last good one in service, with the reason in the log, once. The application's
// thread calls adopt(); files are read and certificates published on the watch's thread, never on an event loop.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "config/settings.h"
#include "tls/certificate_store.h"
#include "tls/file_watch.h"

namespace postern::server {

class StaticCertificates {
 public:
  // The references outlive this object. Throws SystemError.
  StaticCertificates(const Clock& clock, Log& log, tls::CertificateStore& store, tls::FileWatch::Times times = {});

  // What a start or a reload has read and checked: published, unless it is worse than what is served; pairs that are no
  // longer wanted are withdrawn. `pairs` are those of `settings.certificates`.
  void adopt(std::map<tls::CertificateId, tls::CertifiedKeyRef> pairs, const config::Settings& settings);

 private:
  // A file's identity and times, which change when its content does.
  struct Stamp {
    std::vector<std::int64_t> numbers;
    bool settled = false;  // old enough that another change would show
    bool operator==(const Stamp& other) const { return numbers == other.numbers; }
  };
  struct Pair {
    config::StaticCertificate section;   // with the content that was looked at last
    std::vector<std::string> primaries;  // hostnames, and subjects of sni, that it must go on covering
    Stamp stamp;
    std::string complaint;  // why the files' content is not served; "" when it is
    bool isWatched() const { return !section.certificateFile.empty() || !section.keyFile.empty(); }
    std::string files() const;
  };

  void look();
  // The pair that the files hold now; null when that is nothing new, or not to be served.
  tls::CertifiedKeyRef lookAt(Pair& pair);
  static Stamp stampOf(const Pair& pair, Time now);
  static bool readAnew(config::StaticCertificate& section);  // throws what stands in the way; false: the same as before
  // Why `next` should not replace `old`; "" when it should.
  std::string worse(const tls::CertifiedKey& old, const tls::CertifiedKey& next,
                    const std::vector<std::string>& primaries) const;
  void keep(Pair& pair, const std::string& reason);

  const Clock& clock_;
  Log& log_;
  tls::CertificateStore& store_;
  std::mutex mutex_;  // guards pairs_, and is held while they are published
  std::map<tls::CertificateId, Pair> pairs_;
  tls::FileWatch watch_;  // last: ends before what it uses
};

}  // namespace postern::server
