#include "tests/crash/life.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <thread>
#include <utility>

#include "acme/manager.h"
#include "acme/storage.h"
#include "tests/crash/pipe_transport.h"

namespace postern::test {
namespace {

using namespace std::chrono_literals;

constexpr unsigned patience = 300;  // seconds of a child, by the machine's clock

acme::Plan planFor(const Life& life, const std::string& directory) {
  acme::Provider provider;
  provider.name = "main";
  provider.directory = directory;
  provider.cache = life.cache;
  provider.contact = {"mailto:postmaster@example.org"};
  provider.reuseKey = life.reuseKey;
  return {{provider}, {{"main", {lifeName}}}};
}

class Child {
 public:
  Child(const Life& life, std::string directory, int socket)
      : life_(life), directory_(std::move(directory)), pipe_(socket), clock_(life.begins) {
    LogSettings settings;
    settings.level = LogLevel::Debug;
    settings.file = life.cache.string() + ".log";
    log_.configure(settings);
  }

  int run() {
    Json report;
    int status = 0;
    try {
      expect(life_.fault, clock_);
      acme::Manager manager({clock_, log_, store_, challenges_, httpChallenges_, pipeTransports(pipe_, clock_), {}});
      manager.apply(planFor(life_, directory_));
      manager.start();
      live(manager, report);
    } catch (const std::exception& error) {
      report["words"] = error.what();
      status = 1;
    }
    report["points"] = pointsReached();
    report["always"] = servedAlways_;
    pipe_.exchange(Json::Object{{"report", report}, {"now", clock_.now().time_since_epoch().count()}});
    return status;
  }

 private:
  void live(acme::Manager& manager, Json& report) {
    switch (life_.deed) {
      case Deed::Obtain: obtain(manager, report); return;
      case Deed::Attempt: attempt(manager); return;
      case Deed::RollOver: report["account"] = manager.rolloverAccount("main", {}).url; return;
      case Deed::Deactivate: report["account"] = manager.deactivateAccount("main", {}).url; return;
      case Deed::Revoke:
        if (manager.revoke(lifeName, "", 1, {}).revoked.size() != 1) throw std::runtime_error("nothing was revoked");
        obtain(manager, report);
        return;
    }
  }

  static void attempt(acme::Manager& manager) {
    manager.waitFor({tls::acmeCertificate("main", {lifeName})}, {});
    const auto error = manager.status().certificates.at(0).lastError;
    if (error) throw std::runtime_error(error->type + ": " + error->detail);
  }

  // Waits for attempt after attempt, each at the time that the manager has set for it.
  void obtain(acme::Manager& manager, Json& report) {
    for (;;) {
      manager.waitFor({tls::acmeCertificate("main", {lifeName})}, {});
      const auto status = manager.status();
      const auto& certificate = status.certificates.at(0);
      if (!life_.successorOf.empty() && !certificate.certificate) servedAlways_ = false;
      if (certificate.certificate && certificate.certificate->serial() != life_.successorOf &&
          certificate.state == acme::CertificateState::Valid) {
        // The question goes out behind the order, and the destructor waits for what it stores.
        while (life_.awaitsWindow && manager.status().certificates.at(0).renewReason != acme::RenewReason::Ari) {
          std::this_thread::sleep_for(1ms);
        }
        report["serial"] = certificate.certificate->serial();
        report["account"] = status.providers.at(0).account;
        return;
      }
      const auto next = certificate.nextAttempt;
      if (next && *next > clock_.now()) {
        clock_.set(*next);
        manager.wake();
      } else {
        std::this_thread::sleep_for(1ms);  // it is beginning
      }
    }
  }

  const Life& life_;
  const std::string directory_;
  Pipe pipe_;
  testing::FakeClock clock_;
  Log log_;
  tls::CertificateStore store_;
  tls::AlpnChallenges challenges_;
  acme::HttpChallenges httpChallenges_;
  bool servedAlways_ = true;
};

}  // namespace

Ending live(const Life& life, FakeCa& ca, testing::FakeClock& clock) {
  std::array<int, 2> sockets{};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets.data()) != 0) throw std::runtime_error("socketpair");
  const pid_t child = fork();
  if (child < 0) throw std::runtime_error("fork");
  if (child == 0) {
    close(sockets[0]);
    alarm(patience);
    // Its own life ends here: nothing of the parent's is torn down a second time.
    _exit(Child(life, ca.directoryUrl(), sockets[1]).run());
  }
  close(sockets[1]);
  const Json report = serve(sockets[0], ca, clock);
  close(sockets[0]);
  int status = 0;
  if (waitpid(child, &status, 0) != child) throw std::runtime_error("waitpid");
  Ending ending;
  ending.killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  ending.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  ending.serial = report["serial"].string();
  ending.account = report["account"].string();
  ending.servedAlways = report["always"].boolean(true);
  ending.points = static_cast<int>(report["points"].integer());
  ending.ends = clock.now();
  ending.words = report["words"].string(WIFSIGNALED(status) ? "signal " + std::to_string(WTERMSIG(status)) : "");
  return ending;
}

}  // namespace postern::test
