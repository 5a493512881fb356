#include "server/reload.h"

#include <algorithm>
#include <functional>

#include "base/text.h"

namespace postern::server {

namespace {

using config::ListenerConfig;
using config::Settings;

std::vector<std::string> listenerDifferences(const ListenerConfig& before, const ListenerConfig& after) {
  const auto& a = before.listener;
  const auto& b = after.listener;
  std::vector<std::string> words;
  auto note = [&](bool differs, const char* what) {
    if (differs) words.emplace_back(what);
  };
  note(a.protocol != b.protocol, "protocol");
  note(a.bind != b.bind, "bind");
  note(a.hostnames != b.hostnames, "hostname");
  note(a.tls != b.tls || a.tlsTimeout != b.tlsTimeout || a.tlsRequired != b.tlsRequired ||
           !(before.policy == after.policy),
       "tls");
  note(before.acme != after.acme || before.certificate != after.certificate || before.sni != after.sni, "certificate");
  if (words.empty() && !(before == after)) words.emplace_back("settings");
  return words;
}

// Compares two lists whose entries have names: "<what> <name> added|removed|changed: ...".
template <class T>
void compare(const std::string& what, const std::vector<T>& before, const std::vector<T>& after,
             const std::function<std::string(const T&)>& name,
             const std::function<std::vector<std::string>(const T&, const T&)>& details,
             std::vector<std::string>& words) {
  auto find = [&](const std::vector<T>& in, const std::string& wanted) {
    return std::find_if(in.begin(), in.end(), [&](const T& one) { return name(one) == wanted; });
  };
  for (const auto& one : before) {
    if (find(after, name(one)) == after.end()) words.push_back(what + " " + name(one) + " removed");
  }
  for (const auto& one : after) {
    auto old = find(before, name(one));
    if (old == before.end()) {
      words.push_back(what + " " + name(one) + " added");
    } else if (!(*old == one)) {
      const auto more = details(*old, one);
      words.push_back(what + " " + name(one) + " changed" + (more.empty() ? "" : ": " + joined(more, ", ")));
    }
  }
}

}  // namespace

std::vector<std::string> differences(const Settings& before, const Settings& after) {
  std::vector<std::string> words;
  compare<ListenerConfig>(
      "listener", before.listeners, after.listeners, [](const ListenerConfig& one) { return one.listener.id; },
      listenerDifferences, words);
  compare<acme::Provider>(
      "acme", before.providers, after.providers, [](const acme::Provider& one) { return one.name; },
      [](const acme::Provider&, const acme::Provider&) { return std::vector<std::string>{}; }, words);
  compare<config::StaticCertificate>(
      "certificate", before.certificates, after.certificates,
      [](const config::StaticCertificate& one) { return one.name; },
      [](const config::StaticCertificate&, const config::StaticCertificate&) { return std::vector<std::string>{}; },
      words);
  auto note = [&](bool differs, const char* what) {
    if (differs) words.emplace_back(std::string(what) + " changed");
  };
  note(before.accounts != after.accounts, "accounts");
  note(before.maildir != after.maildir, "storage.maildir");
  const auto &was = before.shared, &is = after.shared;
  note(was.maxConnections != is.maxConnections || was.maxConnectionsPerIp != is.maxConnectionsPerIp,
       "server.max-connections");
  note(was.maxHandshakes != is.maxHandshakes, "server.tls.max-handshakes");
  note(was.handshakeRate != is.handshakeRate, "server.tls.handshake-rate-per-ip");
  note(before.shutdownTimeout != after.shutdownTimeout, "server.shutdown-timeout");
  note(!(before.log == after.log), "global.tracing");
  note(before.eventsHook != after.eventsHook, "events.hook");
  return words;
}

std::vector<std::string> keepWhatNeedsRestart(const Settings& before, Settings& after) {
  std::vector<std::string> keys;
  auto keep = [&](auto& wanted, const auto& running, const std::string& key) {
    if (wanted == running) return;
    wanted = running;
    keys.push_back(key);
  };
  keep(after.runAs, before.runAs, "server.run-as");
  keep(after.threads, before.threads, "global.thread-pool");
  keep(after.controlSocket, before.controlSocket, "control.socket");
  for (auto& provider : after.providers) {
    for (const auto& running : before.providers) {
      if (running.name == provider.name) keep(provider.cache, running.cache, "acme." + provider.name + ".cache");
    }
  }
  return keys;
}

}  // namespace postern::server
