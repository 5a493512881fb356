// Certificates that should have been renewed by now, and why the running server could not.
#include <algorithm>
#include <filesystem>

#include "acme/cache_file.h"
#include "acme/error.h"
#include "acme/storage.h"
#include "base/text.h"
#include "server/doctor.h"

namespace postern::server {
namespace {

namespace fs = std::filesystem;

// The newest certificate of a set and key type in a provider's cache.
tls::CertifiedKeyRef newest(const acme::Provider& provider, const std::vector<std::string>& names,
                            const std::string& keyType, Log& log) {
  tls::CertifiedKeyRef best;
  lookingAt(provider.cache);
  for (const auto& primary : acme::foldersIn(fs::path(provider.cache) / acme::directoryFolderName(provider.directory) /
                                             "certificates" / acme::nameSetHash(names))) {
    if (!fs::exists(primary / keyType)) continue;
    for (const auto& each : acme::CertificateFolder(primary / keyType, log).loadAll()) {
      if (!best || each->notAfter() > best->notAfter()) best = each;
    }
  }
  return best;
}

// What the running server says of it, "" when nothing; with what it could not do last.
std::string lastErrorOf(const Examination& of, const std::vector<std::string>& names, const std::string& provider) {
  auto sorted = names;
  std::sort(sorted.begin(), sorted.end());
  for (const auto& one : of.running["certificates"].array()) {
    auto theirs = one["names"].stringList();
    std::sort(theirs.begin(), theirs.end());
    const Json& error = one["last_error"];
    if (theirs != sorted || one["provider"].string() != provider || error.isNull()) continue;
    return error["type"].string() + ": " + error["detail"].string() + ", at " + error["at"].string() +
           "; next attempt " + one["next_attempt"].string("now");
  }
  return "";
}

}  // namespace

Findings examineCertificates(const Examination& of, const acme::Provider& provider, Log& log, std::stop_token stop) {
  Findings findings;
  const auto named = [&](const std::string& name) {
    return std::find_if(of.providers.begin(), of.providers.end(), [&](const auto& each) { return each.name == name; });
  };
  for (const auto& wanted : of.plan.certificates) {
    if (wanted.provider != provider.name) continue;
    if (stop.stop_requested()) throw acme::Stopped();
    const std::string subject = joined(wanted.names, ", "), error = lastErrorOf(of, wanted.names, wanted.provider);
    if (!error.empty()) {
      findings.push_back({Weight::Error, "certificate", subject, "the last attempt failed: " + error,
                          "mend what it names, then " + commandFor(of, "renew " + wanted.names.front())});
    }
    for (const auto& keyType : provider.keyTypes) {
      auto best = newest(provider, wanted.names, keyType, log);
      for (const auto& fallback : provider.fallback) {
        const auto other = named(fallback);
        const auto found = other == of.providers.end() ? nullptr : newest(*other, wanted.names, keyType, log);
        if (found && (!best || found->notAfter() > best->notAfter())) best = found;
      }
      if (!best) continue;
      const Duration lifetime = best->notAfter() - best->notBefore(), left = best->notAfter() - of.now;
      // Half of the time is gone in which it was to be renewed (contract, "Renewal time").
      const Duration margin = lifetime < std::chrono::hours(240) ? lifetime / 2 : lifetime / 3;
      if (left >= margin / 2) continue;
      findings.push_back({Weight::Error, "certificate", subject,
                          "the " + keyType + " certificate in the cache " +
                              (left <= Duration(0) ? "expired at " : "was to be renewed and expires at ") +
                              rfc3339(best->notAfter()),
                          of.running.isNull() ? "start the server, and see " + commandFor(of, "status")
                                              : "see " + commandFor(of, "status") + " for the reason"});
    }
  }
  return findings;
}

}  // namespace postern::server
