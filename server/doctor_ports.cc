#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "acme/solver.h"
#include "base/error.h"
#include "server/doctor.h"
#include "server/doctor_rights.h"

namespace postern::server {
namespace {

namespace fs = std::filesystem;
using acme::ChallengeType;

// The inodes of the sockets that listen on a TCP port of this machine.
std::set<std::string> listeningOn(int port) {
  std::set<std::string> inodes;
  for (const char* table : {"/proc/net/tcp", "/proc/net/tcp6"}) {
    std::ifstream file(table);
    std::string line;
    std::getline(file, line);  // the heading
    while (std::getline(file, line)) {
      std::istringstream words(line);
      std::string slot, local, remote, state, queues, timer, retransmits, uid, timeout, inode;
      words >> slot >> local >> remote >> state >> queues >> timer >> retransmits >> uid >> timeout >> inode;
      const auto colon = local.rfind(':');
      if (state != "0A" || colon == std::string::npos) continue;
      if (std::strtol(local.c_str() + colon + 1, nullptr, 16) == port) inodes.insert(inode);
    }
  }
  return inodes;
}

struct Holder {
  long pid = 0;  // 0: somebody whom this user may not see
  std::string program;
};

std::vector<Holder> holdersOf(int port) {
  const auto inodes = listeningOn(port);
  std::vector<Holder> holders;
  if (inodes.empty()) return holders;
  std::error_code error, ignored;
  for (fs::directory_iterator process("/proc", error), end; !error && process != end; process.increment(error)) {
    const std::string pid = process->path().filename().string();
    if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
    std::error_code closed;
    for (fs::directory_iterator open(process->path() / "fd", closed); !closed && open != end; open.increment(closed)) {
      const std::string target = fs::read_symlink(open->path(), ignored).string();
      if (!target.starts_with("socket:[") || inodes.count(target.substr(8, target.size() - 9)) == 0) continue;
      Holder holder{std::stol(pid), ""};
      std::ifstream(process->path() / "comm") >> holder.program;
      holders.push_back(std::move(holder));
      break;
    }
  }
  if (holders.empty()) holders.push_back({});
  return holders;
}

// 0, or the errno of an attempt to listen there.
int tryToListen(const std::string& host, int port) {
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found) != 0) return EADDRNOTAVAIL;
  int error = 0;
  const int descriptor = ::socket(found->ai_family, found->ai_socktype | SOCK_CLOEXEC, 0);
  const int on = 1;
  if (descriptor < 0) {
    error = errno;
  } else {
    ::setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (::bind(descriptor, found->ai_addr, found->ai_addrlen) != 0) error = errno;
    ::close(descriptor);
  }
  ::freeaddrinfo(found);
  return error;
}

// Where the challenge is answered: a listener's own address, else that of a challenge-only one.
std::string hostFor(const Examination& of, const acme::Provider& provider, int port) {
  for (const auto& listener : of.settings.listeners) {
    for (const auto& address : listener.listener.bind) {
      if (address.port == port) return address.host;
    }
  }
  if (!provider.challengeBind.empty()) return provider.challengeBind;
  return tryToListen("::", 0) == 0 ? "::" : "0.0.0.0";
}

Findings lookAtPort(const Examination& of, const acme::Provider& provider, int port, const std::string& key,
                    int dialled) {
  Findings findings;
  const std::string subject = "port " + std::to_string(port);
  const auto add = [&](Weight weight, const std::string& problem, const std::string& remedy) {
    findings.push_back({weight, "port", subject, problem, remedy});
  };
  if (port != dialled) {
    add(Weight::Note,
        "the CA of " + provider.name + " connects to port " + std::to_string(dialled) + ", and it is answered on " +
            subject,
        "forward port " + std::to_string(dialled) + " of each name to it");
  }
  const long server = static_cast<long>(of.running["pid"].integer());
  const auto holders = holdersOf(port);
  const std::string host = hostFor(of, provider, port);
  if (holders.empty() && !of.running.isNull()) {
    add(Weight::Error, "the server runs (pid " + std::to_string(server) + ") and does not listen there",
        "see the provider's last error in `postern status`");
  } else if (holders.empty()) {
    switch (const int error = tryToListen(host, port)) {
      case 0:
      case EADDRINUSE: break;  // somebody was quicker: a server that starts just now
      case EACCES:
        if (!of.identity) {
          add(Weight::Warning, "this user may not listen there",
              "start the server as root with server.run-as, or give it CAP_NET_BIND_SERVICE");
        }
        break;
      default:
        add(Weight::Error, "cannot listen on " + host + ": " + errnoText(error),
            "bind a listener, or acme." + provider.name + ".challenge-bind, to an address of this machine");
    }
  }
  for (const auto& holder : holders) {
    const bool ours = holder.pid != 0 && holder.pid == server;
    if (ours || (holder.pid == 0 && !of.running.isNull())) continue;
    if (holder.pid == 0) {
      add(Weight::Warning, "somebody listens there whom this user may not see", "run postern doctor as root");
    } else {
      add(Weight::Error,
          "held by " + holder.program + " (pid " + std::to_string(holder.pid) + "), so the server cannot answer there",
          "stop it, or let it pass the CA's connections on to another port and set acme." + provider.name + "." + key +
              " to that");
    }
  }
  return findings;
}

Findings lookAtProgram(const Examination& of, const std::string& key, const std::string& program) {
  if (program.empty()) return {};
  const Identity user = userOf(of.identity);
  const bool exists = fs::exists(program);
  if (exists && may(user, program, R_OK | X_OK)) return {};
  return {{key == "events.hook" ? Weight::Warning : Weight::Error, "hook", key,
           program + (exists ? " cannot be run by " + user.user + " (" + ownership(program) + ")" : " does not exist"),
           exists ? "chmod or chown it, and the folders above it" : "set " + key + " to the path of the program"}};
}

}  // namespace

Findings examinePorts(const Examination& of, const acme::Provider& provider) {
  Findings findings;
  const auto uses = [&](ChallengeType type) {
    return std::find(provider.challenge.begin(), provider.challenge.end(), type) != provider.challenge.end();
  };
  const auto add = [&](Findings more) { findings.insert(findings.end(), more.begin(), more.end()); };
  if (uses(ChallengeType::TlsAlpn01)) add(lookAtPort(of, provider, provider.port, "port", 443));
  if (uses(ChallengeType::Http01)) add(lookAtPort(of, provider, provider.httpPort, "http-port", 80));
  return findings;
}

Findings examineHooks(const Examination& of) {
  Findings findings = lookAtProgram(of, "events.hook", of.settings.eventsHook);
  for (const auto& provider : of.providers) {
    if (provider.dns.method != acme::DnsSettings::Method::Hook) continue;
    for (auto& each : lookAtProgram(of, "acme." + provider.name + ".dns.hook", provider.dns.hook)) {
      findings.push_back(std::move(each));
    }
  }
  return findings;
}

}  // namespace postern::server
