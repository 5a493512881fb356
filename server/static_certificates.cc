#include "server/static_certificates.h"

#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/text.h"

namespace postern::server {
namespace {

// Within this time of a change, another one may leave the same times behind: the kernel's clock ticks, and some file
// systems count in seconds.
constexpr auto coarsest = std::chrono::seconds(3);

std::string contentOf(const std::string& file) {
  auto content = readFile(file, 1 << 20);
  if (!content) throw SystemError("cannot read " + file, ENOENT);
  return std::move(*content);
}

}  // namespace

StaticCertificates::StaticCertificates(const Clock& clock, Log& log, tls::CertificateStore& store,
                                       tls::FileWatch::Times times)
    : clock_(clock),
      log_(log),
      store_(store),
      watch_(
          log, [this] { look(); }, times) {}

std::string StaticCertificates::Pair::files() const {
  if (section.certificateFile.empty() || section.keyFile == section.certificateFile) return section.keyFile;
  return section.certificateFile + (section.keyFile.empty() ? "" : "," + section.keyFile);
}

void StaticCertificates::adopt(std::map<tls::CertificateId, tls::CertifiedKeyRef> pairs,
                               const config::Settings& settings) {
  std::lock_guard lock(mutex_);
  std::map<tls::CertificateId, Pair> next;
  std::vector<std::string> files;
  for (const auto& section : settings.certificates) {
    Pair pair;
    pair.section = section;
    for (const auto& listener : settings.listeners) {
      if (listener.certificate == section.name) pair.primaries.push_back(listener.listener.hostnames.front());
      for (const auto& entry : listener.sni) {
        if (entry.certificate == section.name) pair.primaries.push_back(entry.subject);
      }
    }
    for (const auto& file : {section.certificateFile, section.keyFile}) {
      if (!file.empty()) files.push_back(file);
    }
    next.emplace(tls::staticCertificate(section.name), std::move(pair));
  }
  std::vector<tls::CertificateId> gone;
  for (const auto& [id, pair] : pairs_) {
    if (!next.contains(id)) gone.push_back(id);
  }
  const auto current = store_.current();
  for (auto& read : pairs) {
    const auto old = current->find(read.first);
    const auto entry = next.find(read.first);
    if (!old || entry == next.end()) continue;
    const std::string reason = worse(*old, *read.second, entry->second.primaries);
    if (reason.empty()) continue;
    keep(entry->second, reason);
    read.second = old;
  }
  store_.publish(pairs);
  store_.withdraw(gone);
  pairs_ = std::move(next);
  watch_.watch(std::move(files));  // which looks once more: the files may be newer than what was read
}

void StaticCertificates::look() {
  std::lock_guard lock(mutex_);
  std::map<tls::CertificateId, tls::CertifiedKeyRef> taken;
  for (auto& [id, pair] : pairs_) {
    if (!pair.isWatched()) continue;
    auto next = lookAt(pair);
    if (!next) continue;
    if (const auto old = store_.current()->find(id)) {
      if (old->chainPem() == next->chainPem()) {
        pair.complaint.clear();
        continue;
      }
      if (const std::string reason = worse(*old, *next, pair.primaries); !reason.empty()) {
        keep(pair, reason);
        continue;
      }
    }
    pair.complaint.clear();
    log_.info("tls.certificate.loaded", {{"certificate", pair.section.name},
                                         {"files", pair.files()},
                                         {"serial", next->serial()},
                                         {"not_after", rfc3339(next->notAfter())}});
    taken.emplace(id, std::move(next));
  }
  store_.publish(taken);
}

tls::CertifiedKeyRef StaticCertificates::lookAt(Pair& pair) {
  Stamp stamp = stampOf(pair, clock_.now());
  const bool complained = !pair.complaint.empty();  // what was wrong may have passed: a date has come
  if (!complained && pair.stamp.settled && stamp == pair.stamp) return nullptr;
  pair.stamp = std::move(stamp);
  try {
    if (!readAnew(pair.section) && !complained) return nullptr;
    return tls::CertifiedKey::fromPem(pair.section.certificatePem, pair.section.keyPem);
  } catch (const std::exception& error) {
    keep(pair, error.what());
    return nullptr;
  }
}

StaticCertificates::Stamp StaticCertificates::stampOf(const Pair& pair, Time now) {
  Stamp stamp;
  stamp.settled = true;
  for (const auto& file : {pair.section.certificateFile, pair.section.keyFile}) {
    struct stat about {};
    if (file.empty()) continue;
    if (::stat(file.c_str(), &about) != 0) {
      stamp.numbers.push_back(-errno);
      stamp.settled = false;
      continue;
    }
    for (const std::int64_t number :
         {static_cast<std::int64_t>(about.st_dev), static_cast<std::int64_t>(about.st_ino),
          static_cast<std::int64_t>(about.st_size), static_cast<std::int64_t>(about.st_mtim.tv_sec),
          static_cast<std::int64_t>(about.st_mtim.tv_nsec), static_cast<std::int64_t>(about.st_ctim.tv_sec),
          static_cast<std::int64_t>(about.st_ctim.tv_nsec)})
      stamp.numbers.push_back(number);
    const Time changed = Time(std::chrono::seconds(std::max(about.st_mtim.tv_sec, about.st_ctim.tv_sec)));
    stamp.settled = stamp.settled && changed + coarsest < now;
  }
  return stamp;
}

bool StaticCertificates::readAnew(config::StaticCertificate& section) {
  std::string certificate = section.certificatePem;
  Secret key = section.keyPem;
  if (!section.certificateFile.empty()) certificate = contentOf(section.certificateFile);
  if (!section.keyFile.empty()) key = Secret(contentOf(section.keyFile));
  if (certificate == section.certificatePem && key == section.keyPem) return false;
  section.certificatePem = std::move(certificate);
  section.keyPem = std::move(key);
  return true;
}

std::string StaticCertificates::worse(const tls::CertifiedKey& old, const tls::CertifiedKey& next,
                                      const std::vector<std::string>& primaries) const {
  const Time now = clock_.now();
  if (!old.validAt(now)) return {};
  if (!next.validAt(now))
    return now < next.notBefore() ? "the new pair is not valid before " + rfc3339(next.notBefore())
                                  : "the new pair expired at " + rfc3339(next.notAfter());
  for (const auto& name : primaries) {
    if (old.covers(name) && !next.covers(name)) return "the new pair does not cover " + name + " any more";
  }
  return {};
}

void StaticCertificates::keep(Pair& pair, const std::string& reason) {
  if (std::exchange(pair.complaint, reason) == reason) return;
  const auto served = store_.current()->find(tls::staticCertificate(pair.section.name));
  log_.warn("tls.certificate.kept", {{"certificate", pair.section.name},
                                     {"files", pair.files()},
                                     {"serial", served ? served->serial() : ""},
                                     {"reason", reason}});
}

}  // namespace postern::server
