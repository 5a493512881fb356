#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
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

// 0, or the errno of an attempt to have that address. Nobody can connect there meanwhile.
int tryToBind(const std::string& host, int port, bool onlyIpv6 = false) {
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
    if (onlyIpv6) ::setsockopt(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (::bind(descriptor, found->ai_addr, found->ai_addrlen) != 0) error = errno;
    ::close(descriptor);
  }
  ::freeaddrinfo(found);
  return error;
}

// Where the challenge is answered: the listeners' own addresses, else that of a challenge-only one.
std::set<std::string> hostsFor(const Examination& of, const acme::Provider& provider, int port) {
  std::set<std::string> hosts;
  for (const auto& listener : of.settings.listeners) {
    for (const auto& address : listener.listener.bind) {
      if (address.port == port) hosts.insert(address.host);
    }
  }
  if (!hosts.empty()) return hosts;
  if (!provider.challengeBind.empty()) return {provider.challengeBind};
  return {tryToBind("::", 0) == 0 ? "::" : "0.0.0.0"};
}

// Finds fault with one port; `key` is the one that names it.
class PortLook {
 public:
  PortLook(const Examination& of, const acme::Provider& provider, int port, std::string key)
      : of_(of), provider_(provider), port_(port), key_(std::move(key)) {}

  Findings findings(int dialled) {
    if (port_ != dialled) {
      add(Weight::Note,
          "the CA of " + provider_.name + " connects to port " + std::to_string(dialled) + ", and it is answered on " +
              subject(),
          "forward port " + std::to_string(dialled) + " of each name to it");
    }
    if (of_.running.isNull()) {
      asTheServerWill();
    } else {
      asTheServerDoes();
    }
    return std::move(findings_);
  }

 private:
  std::string subject() const { return "port " + std::to_string(port_); }
  void add(Weight weight, const std::string& problem, const std::string& remedy) {
    findings_.push_back({weight, "port", subject(), problem, remedy});
  }

  void asTheServerDoes() {
    const long server = static_cast<long>(of_.running["pid"].integer());
    std::string others;
    for (const auto& holder : holdersOf(port_)) {
      if (holder.pid == 0 || holder.pid == server) return;  // whom this user may not see may well be the server
      others += "; " + holder.program + " (pid " + std::to_string(holder.pid) + ") does";
    }
    add(Weight::Error, "the server runs (pid " + std::to_string(server) + ") and does not listen there" + others,
        (others.empty() ? "" : "let the port go, then ") + std::string("see the provider's last error in ") +
            commandFor(of_, "status") + "; where the configuration is newer than what runs, " +
            commandFor(of_, "reload"));
  }

  // What keeps its addresses from being bound: who listens elsewhere is nobody's hindrance.
  void asTheServerWill() {
    const auto hosts = hostsFor(of_, provider_, port_);
    bool taken = false;
    for (const auto& host : hosts) {
      const int error = tryToBind(host, port_, host == "::" && hosts.count("0.0.0.0") > 0);
      if (error == EADDRINUSE) {
        taken = true;
      } else if (error == EACCES) {
        refused();
      } else if (error != 0) {
        add(Weight::Error, "cannot listen on " + host + ": " + errnoText(error),
            "bind a listener, or acme." + provider_.name + ".challenge-bind, to an address of this machine");
      }
    }
    if (taken) held(holdersOf(port_));
  }

  // To this process; the kernel does not say whether the port is free.
  void refused() {
    const auto holders = holdersOf(port_);
    held(holders);
    if (!holders.empty() || of_.identity) return;
    add(Weight::Warning, "this user may not listen there",
        "start the server as root with server.run-as, or give it CAP_NET_BIND_SERVICE");
  }

  void held(const std::vector<Holder>& holders) {
    for (const auto& holder : holders) {
      if (holder.pid == 0) {
        add(Weight::Warning, "somebody listens there whom this user may not see", "run postern doctor as root");
        continue;
      }
      add(Weight::Error,
          "held by " + holder.program + " (pid " + std::to_string(holder.pid) + "), so the server cannot answer there",
          "stop it, or let it pass the CA's connections on to another port and set acme." + provider_.name + "." +
              key_ + " to that");
    }
  }

  const Examination& of_;
  const acme::Provider& provider_;
  int port_;
  std::string key_;
  Findings findings_;
};

bool isScript(const std::string& program) {
  std::array<char, 2> begin{};
  return std::ifstream(program).read(begin.data(), begin.size()) && begin[0] == '#' && begin[1] == '!';
}

}  // namespace

Findings examinePorts(const Examination& of, const acme::Provider& provider) {
  Findings findings;
  const auto uses = [&](ChallengeType type) {
    return std::find(provider.challenge.begin(), provider.challenge.end(), type) != provider.challenge.end();
  };
  const auto add = [&](Findings more) { findings.insert(findings.end(), more.begin(), more.end()); };
  if (uses(ChallengeType::TlsAlpn01)) add(PortLook(of, provider, provider.port, "port").findings(443));
  if (uses(ChallengeType::Http01)) add(PortLook(of, provider, provider.httpPort, "http-port").findings(80));
  return findings;
}

Findings examineHook(const Examination& of, const std::string& key, const std::string& program) {
  lookingAt(program);
  const Identity user = userOf(of.identity);
  const bool exists = fs::exists(program);
  if (exists && may(user, program, isScript(program) ? R_OK | X_OK : X_OK)) return {};
  return {{key == "events.hook" ? Weight::Warning : Weight::Error, "hook", key,
           program + (exists ? " cannot be run by " + user.user + " (" + ownership(program) + ")" : " does not exist"),
           exists ? "chmod or chown it, and the folders above it" : "set " + key + " to the path of the program"}};
}

}  // namespace postern::server
