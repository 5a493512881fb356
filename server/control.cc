// The commands that come through the control socket (contract, section 5); `revoke` and `account`: control_life.cc.
#include <algorithm>
#include <future>

#include "base/text.h"
#include "server/application.h"
#include "server/renew_result.h"

namespace postern::server {

namespace {

Json refusal(const std::string& reason) {
  return Json::Object{{"ok", false}, {"error", reason}};
}

}  // namespace

Json Application::control(const Json& request, Rights rights, std::stop_token stop) {
  const std::string command = request["command"].string();
  if (command == "status") return Json::Object{{"ok", true}, {"status", statusJson(view())}};
  if (command == "reload") return controlReload(stop);
  if (command == "renew") return controlRenew(request, rights, stop);
  if (command == "revoke") return controlRevoke(request, rights, stop);
  if (command == "account") return controlAccount(request, rights, stop);
  return refusal("unknown command \"" + command + "\"; there are status, reload, renew, revoke and account");
}

Json Application::controlReload(std::stop_token stop) {
  auto promise = std::make_shared<std::promise<ReloadResult>>();
  auto future = promise->get_future();
  tasks_.post([this, promise] { promise->set_value(reload()); });
  while (future.wait_for(std::chrono::milliseconds(100)) != std::future_status::ready) {
    if (stop.stop_requested()) return refusal("the server is stopping");
  }
  const ReloadResult result = future.get();
  if (!result.ok) return refusal(result.error);
  return Json::Object{
      {"ok", true}, {"changes", Json::strings(result.changes)}, {"restart_needed", Json::strings(result.restart)}};
}

Json Application::controlRenew(const Json& request, Rights rights, std::stop_token stop) {
  acme::RenewRequest renew{request["names"].stringList(), request["provider"].string(), request["force"].boolean()};
  if (renew.names.empty() && !request["all"].boolean()) return refusal("renew needs a NAME or --all");
  if (renew.force && rights != Rights::All) return refusal("--force needs root or the server's user");
  auto& manager = serving_->manager();
  const bool wait = request["wait"].boolean();
  const acme::Status before = wait ? manager.status() : acme::Status{};
  const acme::RenewAnswer answer = manager.renew(renew);
  if (answer.certificates.empty()) {
    return refusal(renew.names.empty()
                       ? "no certificate is managed" +
                             (renew.provider.empty() ? std::string() : " for provider " + renew.provider)
                       : "no certificate has the name " + joined(renew.names, ", "));
  }
  Json::Array certificates;
  std::vector<tls::CertificateId> ordered;
  for (const auto& one : answer.certificates) {
    certificates.push_back(Json::Object{{"names", Json::strings(one.id.names)},
                                        {"source", one.id.source},
                                        {"ordered", one.ordered},
                                        {"words", one.words}});
    if (one.ordered) ordered.push_back(one.id);
  }
  Json reply = Json::Object{{"ok", true}, {"certificates", certificates}};
  if (!wait || ordered.empty() || manager.waitFor(ordered, stop)) return reply;
  reply["ok"] = false;
  reply["error"] = stop.stop_requested() ? "the server is stopping" : whyNoneCame(ordered, before, manager.status());
  return reply;
}

}  // namespace postern::server
