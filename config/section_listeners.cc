// server.listener.<id>: what each listener is told. Its tls.* keys are read in section_tls.cc.
#include <algorithm>

#include "config/sections.h"

namespace postern::config {
namespace {

using listeners::Protocol;
using listeners::Role;
using std::chrono::milliseconds;

class ListenerReader {
 public:
  ListenerReader(const Reader& reader, const Settings& settings, const std::string& id)
      : reader_(reader), settings_(settings), path_({"server", "listener", id}), id_(id) {}

  // Nothing where the listener is named and not opened.
  std::optional<ListenerConfig> read() {
    config_.listener.id = id_;
    const bool opened = readProtocol();
    readBind();
    if (!opened) return std::nullopt;
    readNamesOfListener();
    readLimits();
    readSocket();
    readSession();
    readListenerTls(reader_, settings_, config_);
    return std::move(config_);
  }

 private:
  Found own(const std::string& name) const { return reader_.find(path_ / name); }
  Found shared(const KeyPath& below) const { return reader_.inherited(id_, below); }

  bool readProtocol() {
    reader_.require(path_ / "protocol", "required", "write protocol = \"smtp\", \"imap\" or \"http\"");
    const Found protocol = own("protocol");
    const std::string word = reader_.text(protocol);
    if (word == "imap") config_.listener.protocol = Protocol::Imap;
    if (word == "http" || word == "https" || word == "jmap") config_.listener.protocol = Protocol::Http;
    if (word == "https" || word == "jmap") reader_.warning(protocol, "read as http", "write protocol = \"http\"");
    if (word == "lmtp" || word == "pop3") {
      reader_.error(protocol, "not yet in effect: this version serves smtp, imap and http", "leave the listener out");
    }
    if (word != "managesieve") return true;
    if (!reader_.raw(path_ / "upstream")) {
      reader_.warning(protocol, "not opened: managesieve needs an upstream", "leave the listener out");
    }
    return false;
  }

  void readBind() {
    reader_.require(path_ / "bind", "required", "write bind = \"[::]:25\"");
    for (const Found& item : reader_.items(own("bind"))) {
      if (auto address = toAddress(*item.node)) config_.listener.bind.push_back(*address.value);
    }
  }

  void readNamesOfListener() {
    const Found own = reader_.raw(path_ / "hostname");
    const Found hostname = shared({"hostname"});
    for (const NamePlace& name : readNames(reader_, hostname)) config_.listener.hostnames.push_back(name.name);
    if (own && own.node->isOff())
      reader_.error(own, "a listener has a hostname", "leave the key out to take the server's");
    const auto& names = config_.listener.hostnames;
    if (!names.empty() && isWildcard(names.front())) {
      reader_.error(hostname, "the first hostname greets clients and cannot be a wildcard", "put a full name first");
    }
  }

  void readLimits() {
    const listeners::ListenerSettings standard;
    config_.listener.maxConnections =
        static_cast<std::uint32_t>(reader_.count(shared({"max-connections"}), standard.maxConnections));
    config_.listener.maxConnectionsPerIp =
        static_cast<std::uint32_t>(reader_.count(shared({"max-connections-per-ip"}), standard.maxConnectionsPerIp));
    for (const Found& item : reader_.items(trustedNetworks())) {
      if (auto network = toNetwork(*item.node)) config_.listener.trustedNetworks.push_back(*network.value);
    }
  }

  // Under its present name or its older one; the more specific place wins under either.
  Found trustedNetworks() const {
    const KeyPath now{"proxy", "trusted-networks"}, before{"proxy-trusted-networks"};
    for (const KeyPath& place : {path_, KeyPath{"server"}}) {
      if (reader_.raw(place / now)) return reader_.find(place / now);
      if (reader_.raw(place / before)) return reader_.find(place / before);
    }
    return {};
  }

  void readSocket() {
    listeners::SocketOptions& socket = config_.listener.socket;
    const auto option = [this](const char* name) { return shared({"socket", name}); };
    const auto number = [this, &option](const char* name) {
      const Found found = option(name);
      return found ? std::optional<int>(static_cast<int>(reader_.count(found, 0))) : std::nullopt;
    };
    const auto bytes = [this, &option](const char* name) {
      const auto size = reader_.size(option(name));
      return size ? std::optional<int>(static_cast<int>(*size)) : std::nullopt;
    };
    socket.backlog = static_cast<int>(reader_.count(option("backlog"), socket.backlog));
    socket.reuseAddr = reader_.boolean(option("reuse-addr"), socket.reuseAddr);
    socket.reusePort = reader_.boolean(option("reuse-port"), socket.reusePort);
    socket.nodelay = reader_.boolean(option("nodelay"), socket.nodelay);
    socket.ttl = number("ttl");
    socket.tos = number("tos");
    if (const Found linger = option("linger")) {
      socket.linger = std::chrono::duration_cast<std::chrono::seconds>(reader_.duration(linger, {}));
    }
    socket.sendBufferSize = bytes("send-buffer-size");
    socket.recvBufferSize = bytes("recv-buffer-size");
  }

  void readSession() {
    listeners::ListenerSettings& listener = config_.listener;
    const bool smtp = listener.protocol == Protocol::Smtp, http = listener.protocol == Protocol::Http;
    if (smtp) listener.role = readRole();
    listener.greeting = reader_.text(own("greeting"));
    const milliseconds standard =
        listener.protocol == Protocol::Imap ? std::chrono::minutes(31) : std::chrono::minutes(5);
    listener.idleTimeout = reader_.duration(own("idle-timeout"), standard);
    listener.loginTimeout = std::min(listener.loginTimeout, listener.idleTimeout);
    listener.allowPlainText = reader_.boolean(own("allow-plain-text"), false);
    const bool loopback =
        !listener.bind.empty() && std::all_of(listener.bind.begin(), listener.bind.end(),
                                              [](const listeners::Address& a) { return a.isLoopback(); });
    listener.metrics = http && reader_.boolean(own("metrics"), loopback);
    const auto useless = [this](const char* name, const char* where) {
      if (const Found found = own(name))
        reader_.warning(found, std::string("has a meaning on ") + where + " listeners only");
    };
    if (!smtp) useless("role", "smtp");
    if (!http) useless("metrics", "http");
    if (http) useless("greeting", "smtp and imap");
    if (http) useless("allow-plain-text", "smtp and imap");
  }

  Role readRole() const {
    const std::string role = reader_.text(own("role"));
    if (role == "submission") return Role::Submission;
    if (role == "mx") return Role::Mx;
    const auto& bind = config_.listener.bind;
    const bool port = std::any_of(bind.begin(), bind.end(),
                                  [](const listeners::Address& a) { return a.port == 465 || a.port == 587; });
    const bool implicit = reader_.boolean(shared({"tls", "implicit"}), false);
    return port || implicit ? Role::Submission : Role::Mx;
  }

  const Reader& reader_;
  const Settings& settings_;
  KeyPath path_;
  std::string id_;
  ListenerConfig config_;
};

// What one listener asks for is not cut off by what all of them share.
void widenShared(const Reader& reader, Settings& settings) {
  const auto widen = [](std::uint32_t& shared, std::uint32_t own) {
    if (own == 0 || (shared != 0 && own > shared)) shared = own;
  };
  for (const ListenerConfig& config : settings.listeners) {
    const KeyPath path{"server", "listener", config.listener.id};
    if (reader.find(path / "max-connections")) widen(settings.shared.maxConnections, config.listener.maxConnections);
    if (reader.find(path / "max-connections-per-ip"))
      widen(settings.shared.maxConnectionsPerIp, config.listener.maxConnectionsPerIp);
    if (reader.find(path / "tls" / "max-handshakes"))
      widen(settings.shared.maxHandshakes, config.listener.maxHandshakes);
  }
}

// The older name of a key beside the present one, and wherever it stands alone.
void checkOlderNames(const Reader& reader, const KeyPath& place) {
  const Found now = reader.raw(place / "proxy" / "trusted-networks"),
              before = reader.raw(place / "proxy-trusted-networks");
  if (!before) return;
  if (now) {
    reader.error(
        before, "set twice; under its present name, proxy.trusted-networks, it stands at " + placeText(now.node->place),
        "keep one of them");
  } else {
    reader.report().note(before.path, *before.node, "the older name of proxy.trusted-networks");
  }
}

}  // namespace

void readListeners(const Reader& reader, Settings& settings) {
  checkReferences(reader, settings);
  checkOlderNames(reader, {"server"});
  for (const std::string& id : reader.ids({"server", "listener"})) {
    checkOlderNames(reader, {"server", "listener", id});
    if (auto config = ListenerReader(reader, settings, id).read()) settings.listeners.push_back(std::move(*config));
  }
  if (settings.listeners.empty() && !reader.isIncomplete()) {
    Node place;
    place.place = reader.placeOf({"server", "listener"});
    reader.report().warning({"server", "listener"}, place, "there are no listeners",
                            "write [server.listener.\"smtp\"] with bind and protocol");
  }
  readSharedHandshakes(reader, settings);
  widenShared(reader, settings);
  checkBinds(reader, settings);
}

}  // namespace postern::config
