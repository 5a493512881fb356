// server.* beside listeners and tls, global.*, control.*, storage.*.
#include <sys/un.h>

#include <algorithm>

#include "config/sections.h"

namespace postern::config {
namespace {

LogSettings readTracing(const Reader& reader) {
  const KeyPath tracing{"global", "tracing"};
  LogSettings log;
  const std::string level = reader.text(reader.find(tracing / "level"), "info");
  if (level == "trace") log.level = LogLevel::Trace;
  if (level == "debug") log.level = LogLevel::Debug;
  if (level == "warn") log.level = LogLevel::Warn;
  if (level == "error") log.level = LogLevel::Error;
  if (reader.text(reader.find(tracing / "format")) == "json") log.format = LogFormat::Json;

  const Found method = reader.find(tracing / "method"), path = reader.find(tracing / "path"),
              prefix = reader.find(tracing / "prefix");
  const std::string how = reader.text(method);
  const std::string name = reader.text(prefix, "postern.log");
  if (name.find('/') != std::string::npos || name == "." || name == "..") {
    reader.error(prefix, "expected the name of a file without folders", "put the folder into path");
  }
  if (how == "log") {
    if (!path) {
      reader.require(tracing / "path", "required with method = \"log\"", "name the folder of the log file");
    } else {
      const std::string folder = reader.text(path);
      log.file = folder + (folder.back() == '/' ? "" : "/") + name;
    }
    return log;
  }
  if (prefix) reader.warning(prefix, "has a meaning with method = \"log\" only");
  if (how.empty()) {
    log.file = reader.text(path);
  } else if (how != "stderr") {
    reader.warning(method, "a method of other mail servers, read as stderr", "write \"stderr\" or \"log\"");
  }
  if (!how.empty() && path)
    reader.warning(path, "has no meaning with this method", "write method = \"log\", or leave method out");
  return log;
}

std::string readControlSocket(const Reader& reader) {
  const Found socket = reader.find({"control", "socket"});
  const std::string& runtime = reader.surroundings().runtimeDirectory;
  const std::string path = reader.text(socket, (runtime.empty() ? "/run/postern" : runtime) + "/control.sock");
  if (socket && path.size() >= sizeof(sockaddr_un::sun_path)) {
    reader.error(socket, "the path of a socket has at most 107 characters", "choose a shorter one");
  }
  return path;
}

}  // namespace

std::vector<NamePlace> readNames(const Reader& reader, const Found& list) {
  std::vector<NamePlace> names;
  for (const Found& item : reader.items(list)) {
    auto name = toHostname(*item.node);
    if (!name) continue;
    const bool known =
        std::any_of(names.begin(), names.end(), [&name](const NamePlace& n) { return n.name == *name.value; });
    if (!known) names.push_back({*name.value, item});
  }
  return names;
}

void readServer(const Reader& reader, Settings& settings) {
  const KeyPath server{"server"};
  reader.require(server / "hostname", "required", "write hostname = \"mail.example.org\" below [server]");
  for (const NamePlace& name : readNames(reader, reader.find(server / "hostname")))
    settings.hostnames.push_back(name.name);
  settings.shared.maxConnections =
      static_cast<std::uint32_t>(reader.count(reader.find(server / "max-connections"), 8192));
  settings.shared.maxConnectionsPerIp =
      static_cast<std::uint32_t>(reader.count(reader.find(server / "max-connections-per-ip"), 0));
  settings.shutdownTimeout = reader.duration(reader.find(server / "shutdown-timeout"), settings.shutdownTimeout);
  settings.runAs.user = reader.text(reader.find(server / "run-as" / "user"));
  const Found group = reader.find(server / "run-as" / "group");
  settings.runAs.group = reader.text(group);
  if (group && settings.runAs.user.empty() && !reader.raw(server / "run-as" / "user")) {
    reader.error(group, "has no meaning without server.run-as.user", "name the user too");
  }
  settings.threads =
      static_cast<int>(reader.count(reader.find({"global", "thread-pool"}), std::max(reader.surroundings().cores, 1)));
  settings.log = readTracing(reader);
  settings.controlSocket = readControlSocket(reader);
  settings.maildir = reader.text(reader.find({"storage", "maildir"}));
}

}  // namespace postern::config
